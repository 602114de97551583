// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#include "lammps/ghost_features.h"

#include <algorithm>
#include <cstring>

namespace frames {

namespace {

constexpr int tag_indices = 4801, tag_nodes = 4802, tag_place = 4803,
              tag_rows = 4804;  // unlike any of LAMMPS

std::size_t at(std::int32_t index) {
  return static_cast<std::size_t>(index);
}

}  // namespace

void GhostFeatures::connect(const GraphBuilder& builder, const std::vector<Owner>& owners) {
  int ranks = 1;
  MPI_Comm_size(world_, &ranks);

  // Ghost nodes follow the owned ones, ordered by owner.
  const std::vector<std::int32_t>& ghosts = builder.remote_atoms();
  owned_ = builder.owned_nodes();
  from_.clear();
  wanted_.clear();
  counts_.assign(2 * at(ranks), 0);
  for (std::size_t k = 0; k < ghosts.size(); ++k) {
    const Owner& owner = owners[at(ghosts[k])];
    if (from_.empty() || from_.back().rank != owner.rank)
      from_.push_back({owner.rank, owned_ + static_cast<std::int32_t>(k), 0});
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
    MPI_Isend(wanted_.data() + (part.first - owned_), part.count, MPI_INT32_T, part.rank, tag_indices, world_,
              &requests_.emplace_back());
  }
  MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
  for (std::int32_t& atom : sent_) atom = builder.identity_of_atom(atom);

  // Those who ask learn the nodes, since they may read the rows themselves.
  requests_.clear();
  for (const Part& part : from_) {
    MPI_Irecv(wanted_.data() + (part.first - owned_), part.count, MPI_INT32_T, part.rank, tag_nodes, world_,
              &requests_.emplace_back());
  }
  for (const Part& part : to_) {
    MPI_Isend(sent_.data() + part.first, part.count, MPI_INT32_T, part.rank, tag_nodes, world_,
              &requests_.emplace_back());
  }
  MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
  find_neighbours();
}

void GhostFeatures::find_neighbours() {
  near_.clear();
  for (const std::vector<Part>* parts : {&from_, &to_}) {
    for (const Part& part : *parts) {
      if (memory_.reaches(part.rank)) near_.push_back(part.rank);
    }
  }
  std::sort(near_.begin(), near_.end());
  near_.erase(std::unique(near_.begin(), near_.end()), near_.end());
}

/// Every pair of near ranks exchanges a signal in every call: "my rows are complete, and I have read what I
/// wanted of yours in the call before".
void GhostFeatures::run(const Rows& rows) {
  ++traffic_.exchanges;
  traffic_.rows += static_cast<std::int64_t>(wanted_.size());
  traffic_.bytes += static_cast<std::int64_t>(wanted_.size() * rows.bytes);
  const NodeMemory::Place mine = memory_.place(rows.data);
  constexpr int place_bytes = sizeof(NodeMemory::Place);
  requests_.clear();
  signals_.clear();
  arrived_.resize(near_.size());
  for (std::size_t k = 0; k < near_.size(); ++k) {
    MPI_Irecv(&arrived_[k], place_bytes, MPI_BYTE, near_[k], tag_place, world_, &signals_.emplace_back());
  }
  for (const int rank : near_) {
    MPI_Isend(&mine, place_bytes, MPI_BYTE, rank, tag_place, world_, &requests_.emplace_back());
  }
  for (const Part& part : from_) {
    if (!memory_.reaches(part.rank)) receive(part, rows);
  }
  send(rows, mine.block >= 0);
  for (std::size_t left = near_.size(); left > 0; --left) {
    int k = 0;
    MPI_Waitany(static_cast<int>(signals_.size()), signals_.data(), &k, MPI_STATUS_IGNORE);
    const int rank = near_[at(k)];
    for (const Part& part : from_) {
      if (part.rank != rank) continue;
      if (arrived_[at(k)].block >= 0) {
        copy(part, memory_.find(rank, arrived_[at(k)]), rows);
      } else {
        receive(part, rows);  // its rows lie in memory of its own
      }
    }
  }
  MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
}

void GhostFeatures::receive(const Part& part, const Rows& rows) {
  traffic_.message_bytes += static_cast<std::int64_t>(at(part.count) * rows.bytes);
  MPI_Irecv(rows.data + at(part.first) * rows.bytes, part.count * rows.width, rows.type, part.rank, tag_rows,
            world_, &requests_.emplace_back());
}

/// Messages to those who cannot read this rank's rows.
void GhostFeatures::send(const Rows& rows, bool shared) {
  for (const Part& part : to_) {
    if (shared && memory_.reaches(part.rank)) continue;
    buffer_.resize(sent_.size() * rows.bytes);
    std::byte* const start = buffer_.data() + at(part.first) * rows.bytes;
    for (std::int32_t k = 0; k < part.count; ++k)
      std::memcpy(start + at(k) * rows.bytes, rows.data + at(sent_[at(part.first + k)]) * rows.bytes,
                  rows.bytes);
    MPI_Isend(start, part.count * rows.width, rows.type, part.rank, tag_rows, world_,
              &requests_.emplace_back());
  }
}

void GhostFeatures::copy(const Part& part, const std::byte* from, const Rows& rows) const {
  const std::int32_t* const nodes = wanted_.data() + (part.first - owned_);
  std::byte* to = rows.data + at(part.first) * rows.bytes;
  for (std::int32_t k = 0; k < part.count; ++k, to += rows.bytes)
    std::memcpy(to, from + at(nodes[k]) * rows.bytes, rows.bytes);
}

double GhostFeatures::memory_usage() const {
  return static_cast<double>(buffer_.capacity() +
                             (sent_.capacity() + wanted_.capacity()) * sizeof(std::int32_t));
}

}  // namespace frames
