#pragma once

#include <cstdint>
#include <vector>

namespace frames {

/// Sorts atoms along a Hilbert curve through cells of a few Å, so that atoms close in the list are close in
/// space and any stretch of it is compact. Atoms of one cell keep their order.
/// @param positions [3 atoms] Å, finite
/// @param atoms indices of the atoms to sort
void sort_in_space(const double* positions, std::vector<std::int32_t>& atoms);

}  // namespace frames
