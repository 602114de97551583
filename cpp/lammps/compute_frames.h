// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#pragma once

#include <string>
#include <vector>

#include "compute.h"

namespace LAMMPS_NS {

class PairFrames;

/// What both computes share: they find the pair style anew whenever they are asked, since a deck may replace
/// it between runs, and refuse to give numbers of a step whose forces were not computed.
class ComputeFrames : public Compute {
 public:
  ComputeFrames(class LAMMPS* lmp, int narg, char** arg, std::string style);
  ~ComputeFrames() override;

  void init() override { find_pair(); }
  double memory_usage() override;

 protected:
  /// The pair style, with forces of this step on these atoms, and a committee if one is needed. Collective.
  PairFrames& current_pair();
  /// Makes room for all atoms in `vector_atom`, or in `array_atom` with `columns` > 0; all zero.
  double* clear(int columns);
  /// Zero for atoms outside of the group.
  void mask(int columns);
  [[noreturn]] void fail(const std::string& what);

  bool needs_committee_ = false;

 private:
  PairFrames& find_pair();

  std::string name_;
  std::vector<double> values_;
  std::vector<double*> rows_;
};

/// `compute ID group frames/deviation`: the force deviation of a committee for each atom; its maximum over
/// the group as scalar.
class ComputeFramesDeviation final : public ComputeFrames {
 public:
  ComputeFramesDeviation(class LAMMPS* lmp, int narg, char** arg);

  double compute_scalar() override;
  void compute_peratom() override;
};

/// `compute ID group frames/atom energy|energy_deviation|force_deviation|neighbours|nearest ...`
class ComputeFramesAtom final : public ComputeFrames {
 public:
  ComputeFramesAtom(class LAMMPS* lmp, int narg, char** arg);

  void compute_peratom() override;

 private:
  std::vector<std::string> outputs_;
};

}  // namespace LAMMPS_NS
