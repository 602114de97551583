// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#include "lammps/graph_builder.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "core/spatial_order.h"

namespace frames {

namespace {

constexpr std::size_t many = 512;  // atoms; fewer fit into a cache in any order

/// Another number for every list of this process, so that no backend takes one list for another.
std::int64_t next_list_number() {
  static std::atomic<std::int64_t> last{0};
  return ++last;
}

std::size_t at(std::int32_t index) {
  return static_cast<std::size_t>(index);
}

template <typename T>
double bytes(const std::vector<T>& values) {
  return static_cast<double>(values.capacity() * sizeof(T));
}

}  // namespace

GraphBuilder::GraphBuilder(double cutoff, int hops, bool keep_all_ghosts, bool give_list)
    : cutoff_(cutoff), hops_(hops), keep_all_ghosts_(keep_all_ghosts), give_list_(give_list) {}

void GraphBuilder::set_species(std::vector<std::int32_t> species_of_type,
                               const std::vector<double>& shortest) {
  species_of_type_ = std::move(species_of_type);
  species_ = 0;
  for (const std::int32_t species : species_of_type_) species_ = std::max(species_, at(species + 1));
  if (!shortest.empty()) species_ = at(static_cast<std::int32_t>(std::lround(std::sqrt(shortest.size()))));
  shortest_.assign(species_ * species_, 0.0);
  for (std::size_t k = 0; k < shortest.size(); ++k) shortest_[k] = shortest[k] * shortest[k];
}

GraphBuilder::ClosePair GraphBuilder::closest_pair() const {
  return {closest_.atom, closest_.other, std::sqrt(closest_.distance), std::sqrt(closest_.limit)};
}

void GraphBuilder::rebuild(const AtomsView& atoms, const std::vector<Owner>& owners, std::int32_t rank,
                           double skin) {
  number_atoms(atoms, owners, rank);
  collect_pairs(atoms, cutoff_ + skin);
  start_list(atoms);
}

void GraphBuilder::number_atoms(const AtomsView& atoms, const std::vector<Owner>& owners, std::int32_t rank) {
  owned_.clear();
  remote_.clear();
  treated_.clear();
  remote_keys_.clear();
  identity_.assign(at(atoms.all), -1);
  for (std::int32_t i = 0; i < atoms.all; ++i) {
    if (species_of_type_[at(atoms.types[i])] < 0) continue;
    treated_.push_back(i);
    if (i < atoms.owned) owned_.push_back(i);
  }
  // In a large system, nodes that are close in memory must be close in space, or neighbours' features come
  // from main memory. LAMMPS sorts its atoms row by row, which is not enough.
  if (owned_.size() >= many) sort_in_space(atoms.positions, owned_);
  for (std::size_t k = 0; k < owned_.size(); ++k) identity_[at(owned_[k])] = static_cast<std::int32_t>(k);
  for (const std::int32_t i : treated_) {
    if (i < atoms.owned) continue;
    if (owners[at(i)].rank == rank) {
      identity_[at(i)] = identity_[at(owners[at(i)].index)];
    } else {
      remote_keys_.emplace_back(std::int64_t{owners[at(i)].rank} << 32 | owners[at(i)].index, i);
    }
  }
  std::sort(remote_keys_.begin(), remote_keys_.end());
  for (std::size_t k = 0; k < remote_keys_.size(); ++k) {
    if (k == 0 || remote_keys_[k].first != remote_keys_[k - 1].first)
      remote_.push_back(remote_keys_[k].second);
    identity_[at(remote_keys_[k].second)] = static_cast<std::int32_t>(owned_.size() + remote_.size() - 1);
  }
  node_of_.assign(owned_.size() + remote_.size(), -1);
  nodes_.clear();
}

void GraphBuilder::collect_pairs(const AtomsView& atoms, double radius) {
  points_.clear();
  for (const std::int32_t i : treated_)
    points_.insert(points_.end(), atoms.positions + 3 * at(i), atoms.positions + 3 * at(i) + 3);
  cells_.build(points_.data(), static_cast<std::int32_t>(treated_.size()), radius);

  pairs_.clear();
  graph_.list.centres.clear();
  pair_starts_.assign(1, 0);
  row_.assign(at(atoms.all), -1);
  // `nodes_` and `levels_` serve as the queue of a walk outwards over images; images of owned atoms end it,
  // since those are nodes already.
  nodes_ = owned_;
  levels_.assign(owned_.size(), 0);
  for (std::size_t k = 0; k < owned_.size(); ++k) row_[at(owned_[k])] = static_cast<std::int32_t>(k);
  for (std::size_t k = 0; k < nodes_.size(); ++k) {
    const std::int32_t i = nodes_[k], level = levels_[k];
    cells_.for_each_within(atoms.positions + 3 * at(i), [&](std::int32_t point) {
      const std::int32_t j = treated_[at(point)];
      if (j == i) return;
      pairs_.push_back(j);
      if (level + 1 >= hops_ || row_[at(j)] >= 0 || at(identity_[at(j)]) < owned_.size()) return;
      row_[at(j)] = static_cast<std::int32_t>(nodes_.size());
      nodes_.push_back(j);
      levels_.push_back(level + 1);
    });
    pair_starts_.push_back(static_cast<std::int64_t>(pairs_.size()));
    if (give_list_) graph_.list.centres.resize(pairs_.size(), i);
  }
  nodes_.clear();
}

void GraphBuilder::start_list(const AtomsView& atoms) {
  graph_.list.number = 0;
  // A list with more pairs than its numbers count is not worth a wider type: no device holds so many edges.
  if (!give_list_ || pairs_.size() > std::numeric_limits<std::int32_t>::max()) return;
  graph_.list.number = next_list_number();
  graph_.list.atoms = atoms.all;
  graph_.list.neighbours = pairs_;
}

void GraphBuilder::finish_list(const AtomsView& atoms, std::size_t edges) {
  NeighbourList& list = graph_.list;
  list.edges.resize(edges);
  list.nodes.assign(at(atoms.all), -1);
  for (std::int32_t i = 0; i < atoms.all; ++i) {
    if (identity_[at(i)] >= 0) list.nodes[at(i)] = node_of_[at(identity_[at(i)])];
  }
  list.positions = atoms.positions;
}

void GraphBuilder::start_nodes(const AtomsView& atoms) {
  // Only identities that were nodes of the previous graph have to be forgotten.
  for (const std::int32_t atom : nodes_) node_of_[at(identity_[at(atom)])] = -1;
  nodes_.assign(owned_.begin(), owned_.end());
  if (keep_all_ghosts_) nodes_.insert(nodes_.end(), remote_.begin(), remote_.end());
  levels_.assign(nodes_.size(), 1);
  std::fill_n(levels_.begin(), owned_.size(), 0);
  graph_.species.clear();
  for (std::size_t k = 0; k < nodes_.size(); ++k) {
    node_of_[at(identity_[at(nodes_[k])])] = static_cast<std::int32_t>(k);
    // Not only after a rebuild: `fix atom/swap` changes types between two of them.
    graph_.species.push_back(species_of_type_[at(atoms.types[nodes_[k]])]);
  }
}

/// Every pair is written where the next edge goes, and counts if it is within the cutoff: nearly half are
/// not, in no order that a processor could foresee.
template <bool GiveList>
void GraphBuilder::add_edges(std::int32_t node, const AtomsView& atoms, std::size_t& edges) {
  const std::int32_t i = nodes_[at(node)], row = row_[at(i)];
  const auto begin = static_cast<std::size_t>(pair_starts_[at(row)]);
  const auto end = static_cast<std::size_t>(pair_starts_[at(row + 1)]);
  make_room(edges + (end - begin));
  const double* const x = atoms.positions + 3 * at(i);
  const double limit = cutoff_ * cutoff_;
  const double* const shortest = shortest_.data() + species_ * at(graph_.species[at(node)]);
  for (std::size_t k = begin; k < end; ++k) {
    const std::int32_t j = pairs_[k];
    const double* const y = atoms.positions + 3 * at(j);
    const double dx = y[0] - x[0], dy = y[1] - x[1], dz = y[2] - x[2];
    const double square = dx * dx + dy * dy + dz * dz;
    std::int32_t neighbour = node_of_[at(identity_[at(j)])];
    if (neighbour < 0) {  // where not all atoms are nodes from the start
      if (square >= limit) continue;
      neighbour = add_node(j, levels_[at(node)] + 1, atoms);
    }
    const double least = shortest[at(graph_.species[at(neighbour)])];
    if (square < least && square * closest_.limit < closest_.distance * least)
      closest_ = {i, j, square, least};
    graph_.neighbours[edges] = neighbour;
    if constexpr (GiveList) graph_.list.edges[edges] = static_cast<std::int32_t>(k);
    double* const vector = graph_.vectors.data() + 3 * edges;
    vector[0] = dx;
    vector[1] = dy;
    vector[2] = dz;
    edges += square < limit;
  }
}

std::int32_t GraphBuilder::add_node(std::int32_t atom, std::int32_t level, const AtomsView& atoms) {
  const auto node = static_cast<std::int32_t>(nodes_.size());
  node_of_[at(identity_[at(atom)])] = node;
  nodes_.push_back(atom);
  levels_.push_back(level);
  graph_.species.push_back(species_of_type_[at(atoms.types[atom])]);
  return node;
}

/// Room for so many edges, and a little more only, since what a vector grows by is filled with zeros.
void GraphBuilder::make_room(std::size_t edges) {
  if (edges <= graph_.neighbours.size()) return;
  edges += pairs_.size() / 64;
  graph_.neighbours.resize(edges);
  graph_.vectors.resize(3 * edges);
  if (graph_.list.number != 0) graph_.list.edges.resize(edges);
}

void GraphBuilder::update(const AtomsView& atoms) {
  start_nodes(atoms);
  closest_ = {};
  graph_.locals = static_cast<std::int32_t>(owned_.size());
  graph_.offsets.assign(1, 0);
  if (graph_.list.number != 0) graph_.list.edges.resize(graph_.neighbours.size());
  std::size_t edges = 0;
  std::int32_t node = 0;
  for (; at(node) < nodes_.size() && levels_[at(node)] < hops_; ++node) {
    if (graph_.list.number != 0) {
      add_edges<true>(node, atoms, edges);
    } else {
      add_edges<false>(node, atoms, edges);
    }
    graph_.offsets.push_back(static_cast<std::int64_t>(edges));
  }
  graph_.neighbours.resize(edges);
  graph_.vectors.resize(3 * edges);
  graph_.centres = node;
  graph_.atoms = static_cast<std::int32_t>(nodes_.size());
  if (graph_.list.number != 0) finish_list(atoms, edges);
}

double GraphBuilder::memory_usage() const {
  return bytes(owned_) + bytes(remote_) + bytes(identity_) + bytes(row_) + bytes(pair_starts_) +
         bytes(pairs_) + bytes(graph_.species) + bytes(graph_.offsets) + bytes(graph_.neighbours) +
         bytes(graph_.vectors) + bytes(graph_.list.centres) + bytes(graph_.list.neighbours) +
         bytes(graph_.list.edges) + bytes(graph_.list.nodes) + bytes(nodes_) + bytes(levels_) +
         bytes(node_of_) + bytes(points_) + bytes(treated_) + bytes(remote_keys_);
}

}  // namespace frames
