// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

// What happens on every step: graph, model, forces, energies, virials, and the exchange of ghosts' shares.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <new>
#include <thread>

#include "atom.h"
#include "comm.h"
#include "core/structure.h"
#include "error.h"
#include "force.h"
#include "lammps/pair_frames.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

using namespace LAMMPS_NS;

namespace {

constexpr int symmetric = 6;  // xx, yy, zz, xy, xz, yz
constexpr int centroid = 9;   // xx, yy, zz, xy, xz, yz, yx, zx, zy
constexpr int node_width = symmetric + centroid;
constexpr std::size_t most_atoms_named = 5;

// Components of a row-major 3×3 matrix in the order of LAMMPS.
constexpr std::size_t component[centroid] = {0, 4, 8, 1, 2, 5, 3, 6, 7};

std::size_t at(int index) {
  return static_cast<std::size_t>(index);
}

}  // namespace

frames::AtomsView PairFrames::atoms_view() const {
  const int all = atom->nlocal + atom->nghost;
  return {atom->nlocal, all, all > 0 ? atom->x[0] : nullptr, atom->type};
}

void PairFrames::stop(const std::string& what) {
  const std::string message = "pair_style frames: step " + std::to_string(update->ntimestep) + ": " + what;
  if (comm->nprocs > 1) {
    // Only this rank knows, and the others can be waiting for it, so all are aborted; launchers lose output
    // that they have not yet passed on by then.
    std::fprintf(stderr, "ERROR on rank %d: %s\n", comm->me, message.c_str());
    std::fflush(stderr);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
  error->one(FLERR, message);
}

void PairFrames::compute(int eflag, int vflag) {
  try {
    compute_step(eflag, vflag);
  } catch (const std::bad_alloc&) {
    stop("out of memory with " + std::to_string(atom->nlocal) + " atoms on this rank; use more machines");
  }
}

void PairFrames::compute_step(int eflag, int vflag) {
  ev_init(eflag, vflag);
  if (!reported_) check_pairs_of_types();  // the first call after init_one for all pairs of types
  if (neighbor->ago == 0) rebuild_pairs();
  if (owners_.size() != at(atom->nlocal + atom->nghost)) {
    stop("atoms or model changed without new neighbour lists; use `run` without `pre no`");
  }
  check_scale();
  evaluate();
  note_traffic();
  if (!reported_) report_ghost_work();
  add_results();
  watch_deviation();
  watch_distances();
}

bool PairFrames::exchanges() const {
  // On one rank every ghost is an image of an owned atom, and there is nobody to exchange with.
  return model_->exchanges_ghosts() && comm->nprocs > 1;
}

void PairFrames::evaluate() {
  output_.wants_flux_virials = cvflag_atom && model_->metadata().receptive_layers > 1;
  if (output_.wants_flux_virials && !model_->gives_flux_virials()) {
    error->all(
        FLERR,
        "pair_style frames: compute centroid/stress/atom needs the atom whose energy changes, which backend "
        "torchscript does not tell of a model with {} layers; use a model of backbone cartesian with backend "
        "native",
        model_->metadata().receptive_layers);
  }
  try {
    builder_->update(atoms_view());
    ghosts_->reset_traffic();
    model_->evaluate(builder_->graph(), exchanges() ? ghosts_.get() : nullptr, output_);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& failure) {
    stop(failure.what());
  }
  evaluated_step_ = update->ntimestep;
  evaluated_tags_.assign(atom->tag, atom->tag + atom->nlocal);
  ++evaluations_;
}

void PairFrames::rebuild_pairs() {
  const frames::AtomsView atoms = atoms_view();
  for (int i = 0; i < atoms.all; ++i) {
    const double* x = atoms.positions + 3 * at(i);
    if (!std::isfinite(x[0] + x[1] + x[2])) {
      stop("position of atom " + std::to_string(atom->tag[i]) + " is not finite");
    }
  }
  owners_.resize(at(atoms.all));
  for (int i = 0; i < atoms.owned; ++i) owners_[at(i)] = {comm->me, i};
  comm->forward_comm(this);
  builder_->rebuild(atoms, owners_, comm->me, neighbor->skin);
  if (exchanges()) ghosts_->connect(*builder_, owners_);
}

void PairFrames::report_ghost_work() {
  reported_ = true;
  if (comm->nprocs == 1) return;
  if (model_->exchanges_ghosts()) {
    report_traffic();
    return;
  }
  const frames::Graph& graph = builder_->graph();
  const double mine[2] = {static_cast<double>(graph.locals), static_cast<double>(graph.centres)};
  double sums[2] = {0.0, 0.0};
  MPI_Reduce(mine, sums, 2, MPI_DOUBLE, MPI_SUM, 0, world);
  if (comm->me == 0 && sums[0] > 0.0) {
    utils::logmesg(lmp, "pair_style frames: ghost shells add {:.0f} % to the atoms that are computed\n",
                   100.0 * (sums[1] / sums[0] - 1.0));
  }
}

/// Gradients that are not finite make forces that are not.
void PairFrames::check_finite() {
  double sum = 0.0;  // not finite if any term is not
  for (const double energy : output_.atom_energies) sum += std::abs(energy);
  for (const double force : node_forces_) sum += std::abs(force);
  if (!std::isfinite(sum)) stop(describe_failure());
}

std::string PairFrames::describe_failure() const {
  const frames::Graph& graph = builder_->graph();
  const auto tag = [&](std::int32_t node) {
    return std::to_string(atom->tag[builder_->node_atoms()[at(node)]]);
  };
  std::string atoms, closest;
  std::size_t bad_atoms = 0;
  double shortest = std::numeric_limits<double>::infinity();
  for (int i = 0; i < graph.centres; ++i) {
    bool bad = i < graph.locals && !std::isfinite(output_.atom_energies[at(i)]);
    for (auto e = graph.offsets[at(i)]; e < graph.offsets[at(i + 1)]; ++e) {
      const double* g = output_.edge_gradients.data() + 3 * e;
      const double* r = graph.vectors.data() + 3 * e;
      bad = bad || !std::isfinite(g[0] + g[1] + g[2]);
      const double distance = std::hypot(r[0], r[1], r[2]);
      if (distance >= shortest) continue;
      shortest = distance;
      closest = "atoms " + tag(i) + " and " + tag(graph.neighbours[static_cast<std::size_t>(e)]);
    }
    if (bad && bad_atoms++ < most_atoms_named) atoms += " " + tag(i);
  }
  char distance[32];
  std::snprintf(distance, sizeof distance, "%.3g A", shortest);
  return "energy or forces are not finite at " + std::to_string(bad_atoms) + " atom(s):" + atoms +
         (bad_atoms > most_atoms_named ? " ..." : "") +
         (closest.empty() ? std::string() : "; the closest are " + closest + ", " + distance + " apart");
}

void PairFrames::add_results() {
  const frames::Graph& graph = builder_->graph();
  const std::vector<int>& atoms = builder_->node_atoms();
  double node_virial[centroid] = {};
  node_forces_.assign(3 * at(graph.atoms), 0.0);
  frames::add_forces(graph, output_.edge_gradients, node_forces_.data(),
                     vflag_global ? node_virial : nullptr);
  check_finite();
  const double factor = unit();
  if (eflag_global) eng_vdwl += factor * output_.energy;
  if (eflag_atom) energies(eatom, 1);
  if (vflag_global) {
    for (int k = 0; k < symmetric; ++k) virial[k] += factor * node_virial[component[k]];
  }
  if (vflag_atom || cvflag_atom) add_atom_virials();

  // LAMMPS sums forces (and computes sum virials) over ghosts only with newton on; otherwise it is done here.
  // pair_style hybrid passes virials of ghosts on only with newton on for pairs.
  const bool collect = !force->newton_pair;
  const int virial_width = vflag_atom || cvflag_atom ? node_width : 0;
  const int width = 3 + virial_width;
  const auto add = [&](int i, const double* forces, const double* virials) {
    for (int c = 0; c < 3; ++c) atom->f[i][c] += factor * forces[c];
    if (vflag_atom) {
      for (int c = 0; c < symmetric; ++c) vatom[i][c] += factor * virials[c];
    }
    if (cvflag_atom) {
      for (int c = 0; c < centroid; ++c) cvatom[i][c] += factor * virials[symmetric + c];
    }
  };
  if (collect) sums_.assign(at(width) * at(atom->nlocal + atom->nghost), 0.0);
  for (int k = 0; k < graph.atoms; ++k) {
    const int i = atoms[at(k)];
    const double* forces = node_forces_.data() + 3 * at(k);
    const double* virials = node_virials_.data() + node_width * at(k);
    if (!collect) {
      add(i, forces, virials);
      continue;
    }
    double* row = sums_.data() + at(width) * at(i);
    for (int c = 0; c < 3; ++c) row[c] += forces[c];
    for (int c = 0; c < virial_width; ++c) row[3 + c] += virials[c];
  }
  if (!collect) return;
  sum_over_ghosts(width);
  for (int i = 0; i < atom->nlocal; ++i) {
    const double* row = sums_.data() + at(width) * at(i);
    add(i, row, row + 3);
  }
}

/// Adds the rows of ghosts to those of their owners. Collective.
void PairFrames::sum_over_ghosts(int width) {
  if (comm->nprocs == 1) return;  // every ghost is an image of an owned atom, which has its sums already
  sums_width_ = width;
  comm->reverse_comm(this, width);
}

/// Shares of the virial W = -Σ vector ⊗ g. For the stress of an atom, half of every edge goes to each of its
/// ends. For the heat flux atom k gets Σ_i (r_i - r_k) ⊗ ∂U_i/∂r_k (Fan et al., Phys. Rev. B 92, 094301
/// (2015)): with one layer the whole edge goes to its far end, with more the model tells.
void PairFrames::add_atom_virials() {
  const frames::Graph& graph = builder_->graph();
  node_virials_.assign(node_width * at(graph.atoms), 0.0);
  for (int i = 0; i < graph.centres; ++i) {
    double* near = node_virials_.data() + node_width * at(i);
    for (auto e = at(static_cast<int>(graph.offsets[at(i)]));
         e < static_cast<std::size_t>(graph.offsets[at(i + 1)]); ++e) {
      const double* r = graph.vectors.data() + 3 * e;
      const double* g = output_.edge_gradients.data() + 3 * e;
      double* far = node_virials_.data() + node_width * at(graph.neighbours[e]);
      for (std::size_t c = 0; c < centroid; ++c) {
        const std::size_t row = component[c] / 3, column = component[c] % 3;
        if (!output_.wants_flux_virials) far[symmetric + c] -= r[row] * g[column];
        if (c >= symmetric) continue;
        const double half = 0.25 * (r[row] * g[column] + r[column] * g[row]);
        near[c] -= half;
        far[c] -= half;
      }
    }
  }
  if (!output_.wants_flux_virials) return;
  for (std::size_t k = 0; k < at(graph.atoms); ++k) {
    for (std::size_t c = 0; c < centroid; ++c)
      node_virials_[node_width * k + symmetric + c] = output_.flux_virials[9 * k + component[c]];
  }
}

int PairFrames::pack_forward_comm(int n, int* list, double* buffer, int, int*) {
  for (int k = 0; k < n; ++k) {
    buffer[2 * k] = owners_[at(list[k])].rank;
    buffer[2 * k + 1] = owners_[at(list[k])].index;
  }
  return 2 * n;
}

void PairFrames::unpack_forward_comm(int n, int first, double* buffer) {
  for (int k = 0; k < n; ++k) {
    owners_[at(first + k)] = {static_cast<std::int32_t>(buffer[2 * k]),
                              static_cast<std::int32_t>(buffer[2 * k + 1])};
  }
}

int PairFrames::pack_reverse_comm(int n, int first, double* buffer) {
  std::copy_n(sums_.data() + at(first) * at(sums_width_), at(n) * at(sums_width_), buffer);
  return n * sums_width_;
}

void PairFrames::unpack_reverse_comm(int n, int* list, double* buffer) {
  for (int k = 0; k < n; ++k) {
    double* sum = sums_.data() + at(list[k]) * at(sums_width_);
    for (int c = 0; c < sums_width_; ++c) sum[c] += *buffer++;
  }
}
