// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

// What computes ask for beside energies and forces, and what is done when the members of a committee
// disagree.

#include <algorithm>
#include <cmath>
#include <limits>

#include "atom.h"
#include "comm.h"
#include "core/elements.h"
#include "core/structure.h"
#include "error.h"
#include "lammps/pair_frames.h"
#include "lammps/structure_writer.h"
#include "timer.h"
#include "update.h"
#include "utils.h"

using namespace LAMMPS_NS;

namespace {

std::size_t at(int index) {
  return static_cast<std::size_t>(index);
}

std::string text(double value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.4g", value);
  return digits;
}

}  // namespace

bool PairFrames::is_current() const {
  // Between runs atoms can be deleted, created and sorted at the same step.
  return model_ && evaluated_step_ == update->ntimestep && evaluated_tags_.size() == at(atom->nlocal) &&
         std::equal(evaluated_tags_.begin(), evaluated_tags_.end(), atom->tag);
}

/// ε_i = (⟨|F_i − ⟨F_i⟩|²⟩)^½ over the members (Zhang et al., Comput. Phys. Commun. 253, 107206 (2020)).
const std::vector<double>& PairFrames::force_deviations() {
  if (deviations_of_ == evaluations_ && deviations_.size() == at(atom->nlocal)) return deviations_;
  const frames::Graph& graph = builder_->graph();
  deviations_.assign(at(atom->nlocal), 0.0);
  for (const frames::Output& output : model_->outputs()) {
    differences_.resize(output_.edge_gradients.size());
    for (std::size_t k = 0; k < differences_.size(); ++k) {
      differences_[k] = output.edge_gradients[k] - output_.edge_gradients[k];
    }
    node_forces_.assign(3 * at(graph.atoms), 0.0);
    frames::add_forces(graph, differences_, node_forces_.data(), nullptr);
    sums_.assign(3 * at(atom->nlocal + atom->nghost), 0.0);
    for (int k = 0; k < graph.atoms; ++k) {
      double* row = sums_.data() + 3 * at(builder_->node_atoms()[at(k)]);
      for (int c = 0; c < 3; ++c) row[c] += node_forces_[3 * at(k) + at(c)];
    }
    sum_over_ghosts(3);
    for (std::size_t i = 0; i < deviations_.size(); ++i) {
      for (std::size_t c = 0; c < 3; ++c) deviations_[i] += sums_[3 * i + c] * sums_[3 * i + c];
    }
  }
  const double factor = std::abs(unit());
  for (double& deviation : deviations_) {
    deviation = factor * std::sqrt(deviation / static_cast<double>(members()));
  }
  deviations_of_ = evaluations_;
  return deviations_;
}

void PairFrames::energies(double* values, int stride) const {
  const double factor = unit();
  for (std::size_t k = 0; k < output_.atom_energies.size(); ++k) {
    values[at(stride) * at(builder_->node_atoms()[k])] = factor * output_.atom_energies[k];
  }
}

void PairFrames::energy_deviations(double* values, int stride) const {
  const double factor = std::abs(unit());
  for (std::size_t k = 0; k < output_.atom_energies.size(); ++k) {
    double sum = 0.0;
    for (const frames::Output& output : model_->outputs()) {
      sum += std::pow(output.atom_energies[k] - output_.atom_energies[k], 2);
    }
    values[at(stride) * at(builder_->node_atoms()[k])] =
        factor * std::sqrt(sum / static_cast<double>(members()));
  }
}

void PairFrames::neighbour_counts(double* values, int stride) const {
  const frames::Graph& graph = builder_->graph();
  for (int k = 0; k < graph.locals; ++k) {
    values[at(stride) * at(builder_->node_atoms()[at(k)])] =
        static_cast<double>(graph.offsets[at(k) + 1] - graph.offsets[at(k)]);
  }
}

void PairFrames::nearest_distances(double* values, int stride) const {
  const frames::Graph& graph = builder_->graph();
  for (int k = 0; k < graph.locals; ++k) {
    double shortest = std::numeric_limits<double>::infinity();
    for (auto e = graph.offsets[at(k)]; e < graph.offsets[at(k) + 1]; ++e) {
      const double* r = graph.vectors.data() + 3 * e;
      shortest = std::min(shortest, std::hypot(r[0], r[1], r[2]));
    }
    // Nobody within the cutoff: dumps and reductions need a number, and 0 is no distance.
    values[at(stride) * at(builder_->node_atoms()[at(k)])] = std::isfinite(shortest) ? shortest : 0.0;
  }
}

/// Says, saves, stops. Collective; looks at a step of a run once, also where a minimiser evaluates it several
/// times.
void PairFrames::watch_deviation() {
  if (!settings_.watches() || update->ntimestep % settings_.every != 0 || watched_step_ == update->ntimestep)
    return;
  watched_step_ = update->ntimestep;
  const std::vector<double>& deviations = force_deviations();
  struct {
    double value = 0.0;
    int rank = 0;
  } mine, worst;
  mine.rank = comm->me;
  tagint tag = 0;
  for (int i = 0; i < atom->nlocal; ++i) {
    if (deviations[at(i)] <= mine.value) continue;
    mine.value = deviations[at(i)];
    tag = atom->tag[i];
  }
  MPI_Allreduce(&mine, &worst, 1, MPI_DOUBLE_INT, MPI_MAXLOC, world);
  if (worst.value <= settings_.threshold) return;
  // A run that goes on from another one begins with the structure that the other ended with; float32 forces
  // differ a little where pairs are added up in another order.
  constexpr double same = 1e-4;
  if (said_step_ == update->ntimestep && std::abs(worst.value - said_deviation_) <= same * said_deviation_)
    return;
  said_step_ = update->ntimestep;
  said_deviation_ = worst.value;
  MPI_Bcast(&tag, 1, MPI_LMP_TAGINT, worst.rank, world);

  std::string message = "pair_style frames: step " + std::to_string(update->ntimestep) +
                        ": the models disagree by " + text(worst.value) + " on the force of atom " +
                        std::to_string(tag) + ", more than " + text(settings_.threshold);
  if (!settings_.save.empty()) {
    const std::string failure =
        StructureWriter(lmp).append(settings_.save, element_of_type_, deviations, "force_deviation");
    if (!failure.empty()) stop(failure);
    message += "; structure appended to " + settings_.save;
  }
  if (settings_.stop) {
    message += "; the run ends here";
    timer->force_timeout();
  }
  if (comm->me == 0) error->warning(FLERR, message);
}

/// Warns of atoms closer than any of their elements in the training data, once for each pair of elements in a
/// run. Each rank speaks for its own atoms.
void PairFrames::watch_distances() {
  const frames::GraphBuilder::ClosePair pair = builder_->closest_pair();
  if (pair.atom < 0) return;
  const int first = element_of_type_[at(atom->type[pair.atom])];
  const int second = element_of_type_[at(atom->type[pair.other])];
  if (!warned_.insert(std::minmax(first, second)).second) return;
  error->warning(FLERR, "pair_style frames: step " + std::to_string(update->ntimestep) + ": atoms " +
                            std::to_string(atom->tag[pair.atom]) + " (" + frames::chemical_symbol(first) +
                            ") and " + std::to_string(atom->tag[pair.other]) + " (" +
                            frames::chemical_symbol(second) + ") are " + text(pair.distance) +
                            " A apart, closer than any such pair in training (" + text(pair.limit) +
                            " A): the model extrapolates");
}

/// The values of `compute pair`, which adds those of all ranks.
void PairFrames::note_traffic() {
  const frames::GhostFeatures::Traffic& step = ghosts_->traffic();
  for_compute_pair_[0] = step.exchanges > 0 ? static_cast<double>(step.rows / step.exchanges) : 0.0;
  for_compute_pair_[1] = static_cast<double>(step.bytes);
  for_compute_pair_[2] = static_cast<double>(step.message_bytes);
}

/// Collective. What the exchange of features costs in a step, as means over the ranks.
void PairFrames::report_traffic() {
  double sums[3] = {}, most = 0.0;
  MPI_Reduce(for_compute_pair_, sums, 3, MPI_DOUBLE, MPI_SUM, 0, world);
  MPI_Reduce(for_compute_pair_, &most, 1, MPI_DOUBLE, MPI_MAX, 0, world);
  if (comm->me != 0) return;
  utils::logmesg(
      lmp,
      "pair_style frames: features of {:.0f} ghost atoms per rank (at most {:.0f}), {} times a step: "
      "{:.3g} MB per step and rank, {:.0f} % of it in messages\n",
      sums[0] / comm->nprocs, most, ghosts_->traffic().exchanges, 1e-6 * sums[1] / comm->nprocs,
      sums[1] > 0.0 ? 100.0 * sums[2] / sums[1] : 0.0);
}
