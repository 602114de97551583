// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/committee.h"
#include "lammps/ghost_features.h"
#include "lammps/graph_builder.h"
#include "lammps/pair_arguments.h"
#include "pair.h"

namespace LAMMPS_NS {

/// Evaluates a model file of FRAMES, or the mean of several.
///
///     pair_style frames [backend auto|native|torchscript] [device cpu|cuda]
///                       [threshold FORCE] [save FILE] [stop yes|no] [every STEPS]
///     pair_coeff * * FILE [FILE ...] ELEMENT ...   (one symbol per atom type, NULL with pair_style hybrid)
///
/// Atoms become a graph in `GraphBuilder`, a backend of the core evaluates it, and the gradients with respect
/// to its edges become forces and virials here. Between ranks either the features of ghost atoms are
/// exchanged, or the ghost shell is as wide as the model's layers reach. docs/lammps has the manual.
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

  void write_restart(FILE* file) override;
  void read_restart(FILE* file) override;
  void write_restart_settings(FILE* file) override;
  void read_restart_settings(FILE* file) override;

  /// "scale": one factor for energies and forces, for `fix adapt` and `compute fep`, which know it as one
  /// value for each pair of types, [types + 1][types + 1] with types i <= j. All have to be the same.
  void* extract(const char* name, int& dimensions) override;

  int pack_forward_comm(int n, int* list, double* buffer, int pbc_flag, int* pbc) override;
  void unpack_forward_comm(int n, int first, double* buffer) override;
  int pack_reverse_comm(int n, int first, double* buffer) override;
  void unpack_reverse_comm(int n, int* list, double* buffer) override;

  // What computes ask for, of the structure that was evaluated last, in units of the deck.

  bool loaded() const { return model_ != nullptr; }
  /// True if forces were computed on this step, for the atoms that this rank owns now. Asked before any of
  /// the following, whose values lie by the indices that atoms had then.
  bool is_current() const;
  std::size_t members() const { return model_ ? model_->size() : 0; }
  /// [owned atoms] root mean square over the committee of the distance of an atom's force from the mean.
  /// Collective.
  const std::vector<double>& force_deviations();
  /// Each into values[stride * atom], for owned atoms that the style treats; others are left alone.
  void energies(double* values, int stride) const;
  void energy_deviations(double* values, int stride) const;
  void neighbour_counts(double* values, int stride) const;
  void nearest_distances(double* values, int stride) const;

 private:
  void load(const frames::PairCoefficients& coefficients);
  std::string try_to_load(const std::vector<std::string>& files);
  void map_types(const std::vector<std::string>& symbols);
  void check_pairs_of_types() const;
  void make_builder();
  void announce();
  void widen_ghost_shell();
  void size_buffers();
  void warn_about_masses();
  void report_ghost_work();
  void note_traffic();
  void report_traffic();

  void compute_step(int eflag, int vflag);
  frames::AtomsView atoms_view() const;
  void rebuild_pairs();
  bool exchanges() const;
  void evaluate();
  void check_finite();
  std::string describe_failure() const;
  void add_results();
  void add_atom_virials();
  void sum_over_ghosts(int width);
  void watch_deviation();
  void watch_distances();
  [[noreturn]] void stop(const std::string& what);
  void set_scale(double value);
  double scale() const;
  void check_scale() const;
  double unit() const { return energy_factor_ * scale(); }

  frames::PairSettings settings_;
  frames::PairCoefficients coefficients_;
  std::unique_ptr<frames::Committee> model_;
  std::unique_ptr<frames::GraphBuilder> builder_;
  std::unique_ptr<frames::GhostFeatures> ghosts_;
  frames::Output output_;
  double energy_factor_ = 1.0;  // units of the deck per eV
  std::vector<double> scales_;  // [types + 1][types + 1], what `extract` hands out
  std::vector<double*> scale_rows_;
  double scale_of_restart_ = 1.0;
  double ghost_cutoff_before_ = 0.0;  // comm_modify cutoff as the user left it
  double ghost_cutoff_set_ = 0.0;     // what it was raised to, 0 if it was not
  bool reported_ = false;
  std::set<std::pair<int, int>> warned_;  // elements whose distances were warned of in this run
  bigint evaluated_step_ = -1;
  std::vector<tagint> evaluated_tags_;  // [owned atoms] of that step
  bigint watched_step_ = -1;            // of this run
  bigint said_step_ = -1;               // the last step whose deviation was too large, and that deviation
  double said_deviation_ = 0.0;
  std::int64_t evaluations_ = 0;
  std::int64_t deviations_of_ = -1;  // the evaluation that deviations_ belong to

  std::vector<int> element_of_type_;     // [types + 1] atomic number, 0 for NULL
  std::set<std::pair<int, int>> given_;  // pairs of types i <= j that the deck gives to this style
  std::vector<frames::Owner> owners_;    // [owned and ghost atoms] since the last rebuild
  std::vector<double> node_forces_;      // [3 nodes] eV/Å
  std::vector<double> node_virials_;     // [15 nodes] eV, 6 symmetric components, then 9 for centroid stress
  std::vector<double> sums_;             // [width, owned and ghost atoms] shares on their way to the owners
  int sums_width_ = 0;
  std::vector<double> differences_;  // [3 edges] eV/Å, gradients of a committee's member minus the mean
  std::vector<double> deviations_;   // [owned atoms]
  double for_compute_pair_[3] =
      {};  // ghost atoms of other ranks, bytes of their features, of these in messages
};

}  // namespace LAMMPS_NS
