#pragma once

#include <OpenMM.h>
#include <openmm/internal/CustomCVForceImpl.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "openmm/frames_force_impl.h"

namespace frames {

/// A force in one Context whose derivative by the scale parameter OpenMM is told.
///
/// OpenMM takes derivatives by parameters from kernels of its platforms alone, not from a CustomCPPForceImpl.
/// So the energy without the scale becomes the collective variable of a CustomCVForce "scale * energy", whose
/// kernels know how; it costs a Context inside, which is why it is done on request.
class DerivativeImpl : public OpenMM::ForceImpl {
 public:
  explicit DerivativeImpl(const FramesForce& owner);

  const OpenMM::Force& getOwner() const override { return owner_; }
  void initialize(OpenMM::ContextImpl& context) override { scaled_impl_->initialize(context); }
  using OpenMM::ForceImpl::updateContextState;
  void updateContextState(OpenMM::ContextImpl&, bool&) override {}
  double calcForcesAndEnergy(OpenMM::ContextImpl& context, bool forces, bool energy, int groups) override {
    return scaled_impl_->calcForcesAndEnergy(context, forces, energy, groups);
  }
  std::map<std::string, double> getDefaultParameters() override {
    return scaled_impl_->getDefaultParameters();
  }
  std::vector<std::string> getKernelNames() override { return scaled_impl_->getKernelNames(); }
  std::vector<std::pair<int, int>> getBondedParticles() const override { return bonds_; }
  std::vector<const OpenMM::Force*> getContainedForces() const override {
    return scaled_impl_->getContainedForces();
  }

  /// What evaluates the model without the scale.
  const FramesForceImpl& inner() const;

 private:
  const FramesForce& owner_;
  const std::vector<std::pair<int, int>> bonds_;  // a copy, as FramesForceImpl has it of all settings
  OpenMM::CustomCVForce scaled_;
  std::unique_ptr<OpenMM::CustomCVForceImpl> scaled_impl_;
};

}  // namespace frames
