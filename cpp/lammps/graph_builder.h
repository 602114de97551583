// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#pragma once

#include <cstdint>
#include <vector>

#include "core/cell_list.h"
#include "core/graph.h"

namespace frames {

/// Atoms of one rank, by pointers to the arrays of the engine: first those that it owns, then ghosts.
struct AtomsView {
  std::int32_t owned = 0;
  std::int32_t all = 0;               ///< owned and ghost atoms
  const double* positions = nullptr;  ///< [3 all] Å
  const int* types = nullptr;         ///< [all] 1 .. number of types
};

/// The rank that owns an atom, and the atom's index there.
struct Owner {
  std::int32_t rank = 0;
  std::int32_t index = 0;
};

/// Turns atoms of one rank into the graph that a model evaluates.
///
/// Ghost atoms that are periodic images of an atom of this rank become that atom with a shifted edge, and
/// images of one atom of another rank become one node. So a run on one rank has no ghost nodes at all, and
/// boxes smaller than the cutoff need no special case.
///
/// `rebuild` follows the engine's neighbour lists: it collects pairs within cutoff + skin. `update` is for
/// every step: it keeps the pairs within the cutoff, walking outwards from owned atoms, so that only atoms
/// whose features reach an owned atom get edges. It takes no memory once the sizes have been seen.
class GraphBuilder {
 public:
  /// @param hops how far from an owned atom, in edges, an atom still needs its own edges: 1 if ghost features
  /// are
  ///   exchanged between ranks, else the number of layers of the model
  /// @param keep_all_ghosts every ghost atom is a node at a fixed place, also one without edges, as an
  /// exchange of
  ///   ghost features needs it
  /// @param give_list the graph tells which pairs its edges are, see NeighbourList
  GraphBuilder(double cutoff, int hops, bool keep_all_ghosts, bool give_list = false);

  /// @param species_of_type [types + 1] species of each type, -1 for types that the model does not treat
  /// @param shortest [species x species] Å; `closest_pair` tells of atoms that are closer. None if empty.
  void set_species(std::vector<std::int32_t> species_of_type, const std::vector<double>& shortest = {});

  /// A pair of atoms closer than a limit.
  struct ClosePair {
    std::int32_t atom = -1;  ///< among the engine's atoms; -1 for none
    std::int32_t other = -1;
    double distance = 1.0;  ///< Å
    double limit = 1.0;     ///< Å
  };
  /// The pair that the last `update` found farthest below its limit.
  ClosePair closest_pair() const;

  /// @param owners [all]; only the entries of ghosts are read
  /// Positions must be finite.
  void rebuild(const AtomsView& atoms, const std::vector<Owner>& owners, std::int32_t rank, double skin);

  /// Builds the graph for new positions of the atoms that the last `rebuild` saw.
  void update(const AtomsView& atoms);

  const Graph& graph() const { return graph_; }

  /// [graph.atoms] index of each node among the engine's atoms.
  const std::vector<std::int32_t>& node_atoms() const { return nodes_; }

  /// Owned atoms that the model treats; they are the first nodes.
  std::int32_t owned_nodes() const { return static_cast<std::int32_t>(owned_.size()); }

  /// One image of each atom of other ranks, ordered by their owners. With `keep_all_ghosts` they are the
  /// nodes after the owned ones, in this order, until the next rebuild.
  const std::vector<std::int32_t>& remote_atoms() const { return remote_; }

  /// The number that all images of an atom share since the last rebuild, which is the node of an owned atom;
  /// -1 if the model does not treat it.
  std::int32_t identity_of_atom(std::int32_t atom) const { return identity_[static_cast<std::size_t>(atom)]; }

  double memory_usage() const;  ///< bytes

 private:
  void number_atoms(const AtomsView& atoms, const std::vector<Owner>& owners, std::int32_t rank);
  void collect_pairs(const AtomsView& atoms, double radius);
  void start_nodes(const AtomsView& atoms);
  void start_list(const AtomsView& atoms);
  void finish_list(const AtomsView& atoms, std::size_t edges);
  template <bool GiveList>
  void add_edges(std::int32_t node, const AtomsView& atoms, std::size_t& edges);
  std::int32_t add_node(std::int32_t atom, std::int32_t level, const AtomsView& atoms);
  void make_room(std::size_t edges);

  double cutoff_;
  std::size_t species_ = 0;
  std::vector<double> shortest_;  // [species x species] squares
  ClosePair closest_;             // its lengths squared
  std::int32_t hops_;
  bool keep_all_ghosts_;
  bool give_list_;
  std::vector<std::int32_t> species_of_type_;

  // Since the last rebuild. "Identity": the same number for all images of one atom, those of owned atoms
  // first.
  std::vector<std::int32_t> owned_;        // owned atoms that the model treats
  std::vector<std::int32_t> remote_;       // one image of each atom of other ranks
  std::vector<std::int32_t> identity_;     // [all] -1 for atoms that the model does not treat
  std::vector<std::int32_t> row_;          // [all] row of the atom in pair_starts_, -1 for none
  std::vector<std::int64_t> pair_starts_;  // [rows + 1]
  std::vector<std::int32_t> pairs_;        // atoms within cutoff + skin

  // Since the last update.
  Graph graph_;
  std::vector<std::int32_t> nodes_;    // [graph.atoms]
  std::vector<std::int32_t> levels_;   // [graph.atoms] edges between the node and the nearest owned atom
  std::vector<std::int32_t> node_of_;  // [identities] -1 for atoms that are no node

  // Scratch of rebuild.
  CellList cells_;
  std::vector<double> points_;
  std::vector<std::int32_t> treated_;
  std::vector<std::pair<std::int64_t, std::int32_t>> remote_keys_;
};

}  // namespace frames
