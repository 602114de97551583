#include "core/spatial_order.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

namespace frames {

namespace {

constexpr double cell_width = 2.5;  // Å: one or two atoms of a liquid
constexpr unsigned bits = 20;       // of a cell's number along an axis

/// Place of a cell on the Hilbert curve: J. Skilling, AIP Conf. Proc. 707, 381 (2004), its three coordinates
/// turned into the curve's digits in place, then interleaved.
std::uint64_t hilbert(std::array<std::uint32_t, 3> x) {
  constexpr std::uint32_t top = 1U << (bits - 1);
  for (std::uint32_t q = top; q > 1; q >>= 1) {
    const std::uint32_t below = q - 1;
    for (std::uint32_t& axis : x) {
      if (axis & q) {
        x[0] ^= below;
      } else {
        const std::uint32_t swap = (x[0] ^ axis) & below;
        x[0] ^= swap;
        axis ^= swap;
      }
    }
  }
  x[1] ^= x[0];
  x[2] ^= x[1];
  std::uint32_t gray = 0;
  for (std::uint32_t q = top; q > 1; q >>= 1) {
    if (x[2] & q) gray ^= q - 1;
  }
  std::uint64_t place = 0;
  for (int bit = static_cast<int>(bits) - 1; bit >= 0; --bit) {
    for (const std::uint32_t axis : x) place = place << 1 | ((axis ^ gray) >> bit & 1U);
  }
  return place;
}

}  // namespace

void sort_in_space(const double* positions, std::vector<std::int32_t>& atoms) {
  std::array<double, 3> lower;
  lower.fill(std::numeric_limits<double>::infinity());
  for (const std::int32_t atom : atoms) {
    for (std::size_t k = 0; k < 3; ++k)
      lower[k] = std::min(lower[k], positions[3 * static_cast<std::size_t>(atom) + k]);
  }
  std::vector<std::pair<std::uint64_t, std::int32_t>> places;
  places.reserve(atoms.size());
  constexpr double last = (1U << bits) - 1;
  for (const std::int32_t atom : atoms) {
    std::array<std::uint32_t, 3> cell;
    for (std::size_t k = 0; k < 3; ++k) {
      const double place = (positions[3 * static_cast<std::size_t>(atom) + k] - lower[k]) / cell_width;
      cell[k] = static_cast<std::uint32_t>(std::min(place, last));
    }
    places.emplace_back(hilbert(cell), static_cast<std::int32_t>(places.size()));
  }
  std::sort(places.begin(), places.end());
  const std::vector<std::int32_t> before = atoms;
  for (std::size_t k = 0; k < places.size(); ++k)
    atoms[k] = before[static_cast<std::size_t>(places[k].second)];
}

}  // namespace frames
