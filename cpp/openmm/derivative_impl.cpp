#include "openmm/derivative_impl.h"

#include <openmm/internal/ContextImpl.h>

#include "core/error.h"

namespace frames {

namespace {

/// Name of the unscaled energy in the expression: never that of the parameter.
std::string variable_of(const ForceSettings& settings) {
  return settings.scale_parameter + "_times";
}

/// The same force without its scale, which must not be applied twice.
FramesForce* unscaled(ForceSettings settings) {
  settings.scale_parameter.clear();
  settings.scale_derivative = false;
  return new FramesForce(std::move(settings));
}

}  // namespace

DerivativeImpl::DerivativeImpl(const FramesForce& owner)
    : owner_(owner),
      bonds_(owner.settings().bonds),
      scaled_(owner.settings().scale_parameter + "*" + variable_of(owner.settings())) {
  const ForceSettings& settings = owner.settings();
  scaled_.addGlobalParameter(settings.scale_parameter, settings.scale_default);
  scaled_.addEnergyParameterDerivative(settings.scale_parameter);
  scaled_.addCollectiveVariable(variable_of(settings), unscaled(settings));
  scaled_.setForceGroup(owner.getForceGroup());
  scaled_impl_ = std::make_unique<OpenMM::CustomCVForceImpl>(scaled_);
}

const FramesForceImpl& DerivativeImpl::inner() const {
  // The inner Context belongs to this object; asking for it changes nothing.
  OpenMM::Context& context = const_cast<OpenMM::CustomCVForceImpl&>(*scaled_impl_).getInnerContext();
  for (const OpenMM::ForceImpl* impl : getContextImpl(context).getForceImpls()) {
    if (const auto* found = dynamic_cast<const FramesForceImpl*>(impl)) return *found;
  }
  throw Error("the force is not initialized");
}

}  // namespace frames
