#include "openmm/frames_force.h"

#include <openmm/internal/ContextImpl.h>

#include <cmath>
#include <unordered_set>

#include "core/error.h"
#include "openmm/derivative_impl.h"
#include "openmm/frames_force_impl.h"

namespace frames {

void ForceSettings::check() const {
  const auto is_particle = [&](int index) { return index >= 0 && index < particles; };
  if (atoms.empty()) throw Error("the model describes no atoms");
  if (atoms.size() != atomic_numbers.size()) {
    throw Error(std::to_string(atoms.size()) + " atoms but " + std::to_string(atomic_numbers.size()) +
                " atomic numbers");
  }
  std::unordered_set<int> seen;
  for (const int atom : atoms) {
    if (!is_particle(atom)) {
      throw Error("atom " + std::to_string(atom) + " is none of the " + std::to_string(particles) +
                  " particles");
    }
    if (!seen.insert(atom).second) throw Error("atom " + std::to_string(atom) + " is listed more than once");
  }
  for (const auto& [first, second] : bonds) {
    if (!is_particle(first) || !is_particle(second) || first == second) {
      throw Error("bond " + std::to_string(first) + "-" + std::to_string(second) + ": expected two of the " +
                  std::to_string(particles) + " particles");
    }
  }
  if (!topology_box.empty() && topology_box.size() != 3) {
    throw Error("the box of the topology has " + std::to_string(topology_box.size()) +
                " vectors; expected three");
  }
  if (!(skin >= 0.0) || !std::isfinite(skin)) {
    throw Error("skin = " + std::to_string(skin) + " nm: expected a length, 0 or more");
  }
  if (!std::isfinite(scale_default)) throw Error("the default of the scale parameter is not finite");
  if (scale_derivative && scale_parameter.empty()) throw Error("a derivative needs a scale parameter");
}

FramesForce::FramesForce(ForceSettings settings) : settings_(std::move(settings)) {
  settings_.check();
  setName("FramesForce");
}

void FramesForce::add_energy_parameter_derivative(const std::string& name) {
  if (settings_.scale_parameter.empty() || name != settings_.scale_parameter) {
    throw Error("'" + name + "' is no parameter of this force, " +
                (settings_.scale_parameter.empty()
                     ? "which was made without scale_parameter"
                     : "whose parameter is '" + settings_.scale_parameter + "'"));
  }
  settings_.scale_derivative = true;
}

OpenMM::ForceImpl* FramesForce::createImpl() const {
  if (settings_.scale_derivative) return new DerivativeImpl(*this);
  return new FramesForceImpl(*this);
}

const FramesForceImpl& FramesForce::impl_in(OpenMM::Context& context) const {
  for (const OpenMM::ForceImpl* impl : getContextImpl(context).getForceImpls()) {
    if (&impl->getOwner() != this) continue;
    if (const auto* outer = dynamic_cast<const DerivativeImpl*>(impl)) return outer->inner();
    return dynamic_cast<const FramesForceImpl&>(*impl);
  }
  throw Error(
      "this force is not part of that Context (inside another force, such as a CustomCVForce, it is "
      "a copy that evaluates)");
}

std::vector<double> FramesForce::atom_energies(OpenMM::Context& context) const {
  return impl_in(context).atom_energies();
}

std::vector<double> FramesForce::atom_forces(OpenMM::Context& context) const {
  return impl_in(context).atom_forces();
}

std::string FramesForce::backend_description(OpenMM::Context& context) const {
  return impl_in(context).backend().description();
}

std::int64_t FramesForce::neighbour_list_builds(OpenMM::Context& context) const {
  return impl_in(context).neighbour_list_builds();
}

}  // namespace frames
