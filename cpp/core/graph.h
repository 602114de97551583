#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace frames {

/// Atoms and directed edges that an MD engine hands to a model. Lengths in Å.
///
/// Nodes are ordered: first the `locals` atoms whose energies are wanted, then other atoms. The first
/// `centres` nodes have edges. Where the backend exchanges features of ghost atoms, `centres == locals`;
/// where it does not, `centres` also covers the shell of atoms whose features reach a local atom within the
/// model's layers. A node may be the neighbour of itself (a periodic image), and two nodes may share several
/// edges.
struct Graph {
  std::int32_t atoms = 0;
  std::int32_t locals = 0;
  std::int32_t centres = 0;
  std::vector<std::int32_t> species;  ///< [atoms] index into Metadata::elements
  std::vector<std::int64_t> offsets;  ///< [centres + 1] edges of node i are offsets[i] .. offsets[i + 1] - 1
  std::vector<std::int32_t> neighbours;  ///< [edges] node at the far end
  std::vector<double> vectors;  ///< [3 edges] Å, r_neighbour + shift - r_centre; all shorter than the cutoff

  std::size_t edges() const { return neighbours.size(); }
};

/// What a model gives back. Vectors keep their capacity from call to call.
struct Output {
  double energy = 0.0;                 ///< eV, sum over local atoms, reference energies included
  std::vector<double> atom_energies;   ///< [locals] eV
  std::vector<double> edge_gradients;  ///< [3 edges] eV/Å, dE/d(edge vector), in the order of Graph::vectors
};

}  // namespace frames
