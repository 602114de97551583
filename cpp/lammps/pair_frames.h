// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/load.h"
#include "lammps/ghost_features.h"
#include "lammps/graph_builder.h"
#include "pair.h"

namespace LAMMPS_NS {

/// Evaluates a model file of FRAMES.
///
///     pair_style frames [backend auto|native|torchscript] [device cpu|cuda]
///     pair_coeff * * FILE ELEMENT ...        (one chemical symbol per atom type, NULL with pair_style
///     hybrid)
///
/// Atoms become a graph in `GraphBuilder`, a backend of the core evaluates it, and the gradients with respect
/// to its edges become forces and virials here. Between ranks either the features of ghost atoms are
/// exchanged, or the ghost shell is as wide as the model's layers reach.
class PairFrames : public Pair {
 public:
  explicit PairFrames(class LAMMPS* lmp);
  ~PairFrames() override;

  void settings(int narg, char** arg) override;
  void coeff(int narg, char** arg) override;
  void init_style() override;
  void init_list(int id, class NeighList* list) override;
  double init_one(int i, int j) override;
  void compute(int eflag, int vflag) override;
  double memory_usage() override;

  int pack_forward_comm(int n, int* list, double* buffer, int pbc_flag, int* pbc) override;
  void unpack_forward_comm(int n, int first, double* buffer) override;
  int pack_reverse_comm(int n, int first, double* buffer) override;
  void unpack_reverse_comm(int n, int* list, double* buffer) override;

 private:
  void load(const std::string& path);
  void map_types(int count, char** names);
  void widen_ghost_shell();
  void size_buffers();
  void warn_about_masses();
  void report_ghost_work();

  frames::AtomsView atoms_view() const;
  void rebuild_pairs();
  bool exchanges() const;
  void evaluate();
  void check_finite();
  std::string describe_failure() const;
  void add_results();
  void add_atom_virials();
  [[noreturn]] void stop(const std::string& what);

  frames::LoadOptions options_;
  std::unique_ptr<frames::Backend> backend_;
  std::unique_ptr<frames::GraphBuilder> builder_;
  std::unique_ptr<frames::GhostFeatures> ghosts_;
  frames::Output output_;
  double energy_factor_ = 1.0;        // units of the deck per eV
  double ghost_cutoff_before_ = 0.0;  // comm_modify cutoff as the user left it
  double ghost_cutoff_set_ = 0.0;     // what it was raised to, 0 if it was not
  bool reported_ = false;

  std::vector<int> element_of_type_;   // [types + 1] atomic number, 0 for NULL
  std::vector<frames::Owner> owners_;  // [owned and ghost atoms] since the last rebuild
  std::vector<double> node_forces_;    // [3 nodes] eV/Å
  std::vector<double> node_virials_;   // [15 nodes] eV, 6 symmetric components, then 9 for centroid stress
  std::vector<double>
      ghost_results_;      // [18 ghosts] force and virials on their way to the owners (newton off)
  int results_width_ = 0;  // of ghost_results_
};

}  // namespace LAMMPS_NS
