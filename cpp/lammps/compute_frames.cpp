// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#include "lammps/compute_frames.h"

#include <algorithm>

#include "atom.h"
#include "error.h"
#include "force.h"
#include "lammps/pair_frames.h"
#include "update.h"

using namespace LAMMPS_NS;

namespace {

std::size_t at(int index) {
  return static_cast<std::size_t>(index);
}

}  // namespace

ComputeFrames::ComputeFrames(LAMMPS* lmp, int narg, char** arg, std::string style)
    : Compute(lmp, narg, arg), name_(std::move(style)) {
  peratom_flag = 1;
}

ComputeFrames::~ComputeFrames() {
  vector_atom = nullptr;  // values_ holds them
  array_atom = nullptr;
}

void ComputeFrames::fail(const std::string& what) {
  error->all(FLERR, "compute " + name_ + ": " + what);
}

PairFrames& ComputeFrames::find_pair() {
  // The first of several sub-styles of pair_style hybrid.
  Pair* found = force->pair_match("frames", 1);
  if (!found) found = force->pair_match("frames", 1, 1);
  auto* const pair = dynamic_cast<PairFrames*>(found);
  if (!pair) fail("needs pair_style frames");
  if (needs_committee_ && pair->loaded() && pair->members() < 2) {
    fail("needs a committee: name two or more model files in pair_coeff");
  }
  return *pair;
}

PairFrames& ComputeFrames::current_pair() {
  PairFrames& pair = find_pair();
  // Atoms may have gone from one rank only, and an error has to come from all of them.
  const int mine = pair.is_current() ? 1 : 0;
  int all = 0;
  MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, world);
  if (all == 0) {
    fail("forces of step " + std::to_string(update->ntimestep) +
         " were not computed for the atoms that there are now; use it during a run");
  }
  return pair;
}

double* ComputeFrames::clear(int columns) {
  const std::size_t width = at(std::max(columns, 1));
  // As long as LAMMPS' own arrays: a dump reads the values again where atoms were created at the same step.
  const std::size_t rows = at(std::max(atom->nmax, 1));
  values_.assign(width * rows, 0.0);
  if (columns == 0) {
    vector_atom = values_.data();
  } else {
    rows_.resize(rows);
    for (std::size_t i = 0; i < rows; ++i) rows_[i] = values_.data() + width * i;
    array_atom = rows_.data();
  }
  return values_.data();
}

void ComputeFrames::mask(int columns) {
  const std::size_t width = at(std::max(columns, 1));
  for (int i = 0; i < atom->nlocal; ++i) {
    if (!(atom->mask[i] & groupbit))
      std::fill_n(values_.begin() + static_cast<std::ptrdiff_t>(width * at(i)), width, 0.0);
  }
}

double ComputeFrames::memory_usage() {
  return static_cast<double>(values_.capacity() * sizeof(double) + rows_.capacity() * sizeof(double*));
}

ComputeFramesDeviation::ComputeFramesDeviation(LAMMPS* lmp, int narg, char** arg)
    : ComputeFrames(lmp, narg, arg, "frames/deviation") {
  if (narg != 3) fail("takes no arguments");
  scalar_flag = 1;
  extscalar = 0;
  size_peratom_cols = 0;
  needs_committee_ = true;
}

void ComputeFramesDeviation::compute_peratom() {
  invoked_peratom = update->ntimestep;
  const std::vector<double>& deviations = current_pair().force_deviations();
  std::copy(deviations.begin(), deviations.end(), clear(0));
  mask(0);
}

double ComputeFramesDeviation::compute_scalar() {
  invoked_scalar = update->ntimestep;
  compute_peratom();
  double largest = 0.0;
  for (int i = 0; i < atom->nlocal; ++i) largest = std::max(largest, vector_atom[i]);
  MPI_Allreduce(&largest, &scalar, 1, MPI_DOUBLE, MPI_MAX, world);
  return scalar;
}

ComputeFramesAtom::ComputeFramesAtom(LAMMPS* lmp, int narg, char** arg)
    : ComputeFrames(lmp, narg, arg, "frames/atom"), outputs_(arg + std::min(narg, 3), arg + narg) {
  const std::string expected = "energy, energy_deviation, force_deviation, neighbours or nearest";
  if (outputs_.empty()) fail("expected one or more of " + expected);
  for (const std::string& output : outputs_) {
    if (output == "energy" || output == "neighbours" || output == "nearest") continue;
    if (output != "energy_deviation" && output != "force_deviation") {
      fail("unknown output " + output + ", expected " + expected);
    }
    needs_committee_ = true;
  }
  size_peratom_cols = outputs_.size() > 1 ? static_cast<int>(outputs_.size()) : 0;
}

void ComputeFramesAtom::compute_peratom() {
  invoked_peratom = update->ntimestep;
  PairFrames& pair = current_pair();
  const int stride = std::max(size_peratom_cols, 1);
  double* values = clear(size_peratom_cols);
  for (const std::string& output : outputs_) {
    if (output == "energy") pair.energies(values, stride);
    if (output == "energy_deviation") pair.energy_deviations(values, stride);
    if (output == "neighbours") pair.neighbour_counts(values, stride);
    if (output == "nearest") pair.nearest_distances(values, stride);
    if (output == "force_deviation") {
      const std::vector<double>& deviations = pair.force_deviations();
      for (std::size_t i = 0; i < deviations.size(); ++i) values[at(stride) * i] = deviations[i];
    }
    ++values;
  }
  mask(size_peratom_cols);
}
