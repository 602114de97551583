#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace frames {

/// Where the edges of a graph come from: the pairs of atoms that an engine's neighbour list holds until it is
/// rebuilt, and which of them are edges now. For a backend that keeps the pairs on a device and computes the
/// edge vectors there. Atoms are those of the engine here, periodic images included.
struct NeighbourList {
  std::int64_t number = 0;  ///< of this list, another one after every rebuild in this process; 0 for none
  std::int32_t atoms = 0;
  std::vector<std::int32_t> centres;     ///< [pairs] atom
  std::vector<std::int32_t> neighbours;  ///< [pairs] atom

  // Of the present positions.
  std::vector<std::int32_t> edges;    ///< [edges] the pair that is this edge of the graph
  std::vector<std::int32_t> nodes;    ///< [atoms] node of the graph, -1 for none
  const double* positions = nullptr;  ///< [3 atoms] Å, in the engine's memory
};

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

  NeighbourList list;  ///< only where the backend asks for it, see Backend::keeps_neighbour_list

  std::size_t edges() const { return neighbours.size(); }
};

/// What a model gives back. Vectors keep their capacity from call to call.
struct Output {
  /// Set by the caller: also `flux_virials`, which take three more gradients. Only where the backend gives
  /// them.
  bool wants_flux_virials = false;

  double energy = 0.0;                 ///< eV, sum over local atoms, reference energies included
  std::vector<double> atom_energies;   ///< [locals] eV
  std::vector<double> edge_gradients;  ///< [3 edges] eV/Å, dE/d(edge vector), in the order of Graph::vectors

  /// [9 atoms] eV, row-major: this rank's share of W_k = Σ_i (r_i - r_k) ⊗ ∂U_i/∂r_k over all nodes i, which
  /// the heat flux Σ_k W_k v_k needs. They add up to the virial.
  std::vector<double> flux_virials;
};

}  // namespace frames
