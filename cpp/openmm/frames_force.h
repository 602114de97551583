#pragma once

#include <OpenMM.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "openmm/model_source.h"

namespace frames {

/// What a force is made of. OpenMM's units: nm, kJ/mol.
struct ForceSettings {
  explicit ForceSettings(ModelSource source) : model(std::move(source)) {}

  ModelSource model;
  int particles = 0;                       ///< in the system
  std::vector<int> atoms;                  ///< [atoms] indices of the particles that the model describes
  std::vector<int> atomic_numbers;         ///< [atoms]
  std::vector<std::pair<int, int>> bonds;  ///< particles that belong to one molecule; no energy comes of them
  bool periodic = false;
  std::vector<OpenMM::Vec3> topology_box;  ///< [3] nm, box vectors of the topology; [0] if it had none
  std::string backend = "auto";            ///< as LoadOptions::backend
  std::string precision;                   ///< as LoadOptions::precision
  double skin = 0.05;                      ///< nm, of the neighbour list
  std::string scale_parameter;             ///< name of the global parameter that scales the energy, or ""
  double scale_default = 1.0;              ///< its value in a new Context
  bool scale_derivative = false;           ///< whether OpenMM is told dE/d(scale parameter)

  /// Throws Error if the settings contradict each other.
  void check() const;
};

/// The energy of a model for some or all particles of a System, on every platform but CUDA.
///
/// The settings are fixed when the force is made. A Context loads the model for itself, so that contexts may
/// run in different threads.
class FramesForce : public OpenMM::Force {
 public:
  /// Throws Error if the settings contradict each other.
  explicit FramesForce(ForceSettings settings);

  const ForceSettings& settings() const { return settings_; }

  /// Makes `State::getEnergyParameterDerivatives` of new contexts contain dE/d(name).
  /// Throws Error if `name` is not the scale parameter.
  void add_energy_parameter_derivative(const std::string& name);

  /// Energies of the model's atoms [atoms] from the last evaluation in a Context, in kJ/mol, without the
  /// scale. Throws Error if the force is not part of that Context or was not evaluated yet.
  std::vector<double> atom_energies(OpenMM::Context& context) const;

  /// Forces on the model's atoms [3 atoms] from that evaluation, in kJ/mol/nm, without the scale.
  std::vector<double> atom_forces(OpenMM::Context& context) const;

  /// Which backend evaluates the model in a Context, for example "native, AVX2, float32, 1 thread".
  std::string backend_description(OpenMM::Context& context) const;

  /// How often a Context has built its neighbour list.
  std::int64_t neighbour_list_builds(OpenMM::Context& context) const;

  bool usesPeriodicBoundaryConditions() const override { return settings_.periodic; }

 protected:
  OpenMM::ForceImpl* createImpl() const override;

 private:
  const class FramesForceImpl& impl_in(OpenMM::Context& context) const;

  ForceSettings settings_;
};

}  // namespace frames
