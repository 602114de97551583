// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#include "lammps/ghost_features.h"

#include <cstring>

namespace frames {

namespace {

constexpr int tag_indices = 4801, tag_rows = 4802;  // unlike any of LAMMPS

std::size_t at(std::int32_t index) {
  return static_cast<std::size_t>(index);
}

}  // namespace

void GhostFeatures::connect(const GraphBuilder& builder, const std::vector<Owner>& owners) {
  int ranks = 1;
  MPI_Comm_size(world_, &ranks);

  // Ghost nodes follow the owned ones, ordered by owner.
  const std::vector<std::int32_t>& ghosts = builder.remote_atoms();
  const std::int32_t owned = builder.owned_nodes();
  from_.clear();
  wanted_.clear();
  counts_.assign(2 * at(ranks), 0);
  for (std::size_t k = 0; k < ghosts.size(); ++k) {
    const Owner& owner = owners[at(ghosts[k])];
    if (from_.empty() || from_.back().rank != owner.rank)
      from_.push_back({owner.rank, owned + static_cast<std::int32_t>(k), 0});
    ++from_.back().count;
    ++counts_[at(owner.rank)];
    wanted_.push_back(owner.index);
  }
  int* const asked = counts_.data() + ranks;
  MPI_Alltoall(counts_.data(), 1, MPI_INT, asked, 1, MPI_INT, world_);

  to_.clear();
  std::int32_t total = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    if (asked[rank] == 0) continue;
    to_.push_back({rank, total, asked[rank]});
    total += asked[rank];
  }
  sent_.resize(at(total));
  requests_.clear();
  for (const Part& part : to_) {
    MPI_Irecv(sent_.data() + part.first, part.count, MPI_INT32_T, part.rank, tag_indices, world_,
              &requests_.emplace_back());
  }
  for (const Part& part : from_) {
    MPI_Isend(wanted_.data() + (part.first - owned), part.count, MPI_INT32_T, part.rank, tag_indices, world_,
              &requests_.emplace_back());
  }
  MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
  for (std::int32_t& atom : sent_) atom = builder.identity_of_atom(atom);
}

void GhostFeatures::run(void* rows, std::size_t scalar, std::int32_t width) {
  const std::size_t row = at(width) * scalar;
  const MPI_Datatype type = scalar == sizeof(float) ? MPI_FLOAT : MPI_DOUBLE;
  auto* const all = static_cast<std::byte*>(rows);
  buffer_.resize(sent_.size() * row);
  requests_.clear();
  for (const Part& part : from_) {
    MPI_Irecv(all + at(part.first) * row, part.count * width, type, part.rank, tag_rows, world_,
              &requests_.emplace_back());
  }
  for (const Part& part : to_) {
    std::byte* const start = buffer_.data() + at(part.first) * row;
    for (std::int32_t k = 0; k < part.count; ++k)
      std::memcpy(start + at(k) * row, all + at(sent_[at(part.first + k)]) * row, row);
    MPI_Isend(start, part.count * width, type, part.rank, tag_rows, world_, &requests_.emplace_back());
  }
  MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
  bytes_sent_ += static_cast<double>(buffer_.size());
}

double GhostFeatures::memory_usage() const {
  return static_cast<double>(buffer_.capacity() +
                             (sent_.capacity() + wanted_.capacity()) * sizeof(std::int32_t));
}

}  // namespace frames
