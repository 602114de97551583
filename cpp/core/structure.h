#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/graph.h"

namespace frames {

/// Builds the graph of a whole structure: every atom is local, periodic images are edges with a shift.
/// Cells smaller than the cutoff are fine. Used where no engine provides ghost atoms.
///
/// @param species [atoms] index into Metadata::elements
/// @param positions [3 atoms] Å, anywhere in space
/// @param cell Å, rows are the lattice vectors; rows of open directions are ignored
/// Throws Error if positions are not finite, the periodic lattice vectors are linearly dependent, or the cell
/// is so small that an atom would have millions of images.
void build_graph(const std::vector<std::int32_t>& species, const std::vector<double>& positions,
                 const std::array<double, 9>& cell, const std::array<bool, 3>& periodic, double cutoff,
                 Graph& graph);

/// Adds forces and virial of a graph, from the gradients g = dE/d(edge vector): F_centre += g, F_neighbour -=
/// g, W -= vector ⊗ g.
///
/// @param gradients [3 edges] eV/Å
/// @param forces [3 graph.atoms] eV/Å
/// @param virial eV, row-major, may be null
void add_forces(const Graph& graph, const std::vector<double>& gradients, double* forces, double* virial);

}  // namespace frames
