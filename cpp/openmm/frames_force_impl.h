#pragma once

#include <OpenMM.h>
#include <openmm/internal/CustomCPPForceImpl.h>

#include <array>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "openmm/frames_force.h"
#include "openmm/verlet_list.h"

namespace frames {

/// A force in one Context: its own copy of the model, its neighbour list, and its last result.
class FramesForceImpl : public OpenMM::CustomCPPForceImpl {
 public:
  explicit FramesForceImpl(const FramesForce& owner);

  const OpenMM::Force& getOwner() const override { return owner_; }

  /// Loads the model. Throws OpenMMException if that or the System is no good.
  void initialize(OpenMM::ContextImpl& context) override;

  /// Throws OpenMMException if positions, energy or forces are not finite, or the backend fails.
  double computeForce(OpenMM::ContextImpl& context, const std::vector<OpenMM::Vec3>& positions,
                      std::vector<OpenMM::Vec3>& forces) override;

  std::map<std::string, double> getDefaultParameters() override;
  std::vector<std::pair<int, int>> getBondedParticles() const override;

  const Backend& backend() const { return *backend_; }
  std::int64_t neighbour_list_builds() const { return pairs_->builds(); }

  /// [atoms] kJ/mol, of the last evaluation, without the scale. Throws Error if there was none.
  std::vector<double> atom_energies() const;
  /// [3 atoms] kJ/mol/nm, the same.
  std::vector<double> atom_forces() const;

 private:
  void take_positions(OpenMM::ContextImpl& context, const std::vector<OpenMM::Vec3>& positions);
  void check_box(const OpenMM::Vec3 (&rows)[3]) const;
  void check_finite() const;
  void check_evaluated() const;
  std::string atom_name(std::size_t atom) const;

  const FramesForce& owner_;
  const ForceSettings settings_;  // a copy, since a script may remove the force while the Context lives on
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<VerletList> pairs_;
  Output output_;
  std::vector<double> positions_;  // [3 atoms] Å
  std::vector<double> forces_;     // [3 atoms] eV/Å
  std::array<double, 9> cell_{};   // Å
  bool box_checked_ = false;
  bool evaluated_ = false;
};

}  // namespace frames
