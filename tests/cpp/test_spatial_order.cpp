#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "check.h"
#include "core/spatial_order.h"

namespace {

/// A curve through every cell of a cube that steps from face to face is what makes neighbours in the list
/// neighbours in space.
TEST(spatial_order_steps_from_cell_to_cell) {
  constexpr int side = 16;
  std::vector<double> positions;
  std::vector<std::int32_t> atoms;
  for (int k = 0; k < side * side * side; ++k) {
    atoms.push_back(k);
    for (const int cell : {k % side, k / side % side, k / side / side}) positions.push_back(2.5 * cell - 7.0);
  }
  std::shuffle(atoms.begin(), atoms.end(), std::mt19937(1));
  std::vector<std::int32_t> sorted = atoms;
  frames::sort_in_space(positions.data(), sorted);
  for (std::size_t k = 1; k < sorted.size(); ++k) {
    const double* a = positions.data() + 3 * static_cast<std::size_t>(sorted[k - 1]);
    const double* b = positions.data() + 3 * static_cast<std::size_t>(sorted[k]);
    CHECK(std::abs(std::abs(a[0] - b[0]) + std::abs(a[1] - b[1]) + std::abs(a[2] - b[2]) - 2.5) < 1e-9);
  }
  std::sort(atoms.begin(), atoms.end());
  std::sort(sorted.begin(), sorted.end());
  CHECK(atoms == sorted);
}

TEST(spatial_order_keeps_the_order_within_a_cell_and_takes_any_extent) {
  const std::vector<double> positions = {0.1, 0, 0, 0.2, 0, 0, 1e12, -1e12, 3, 0.3, 0, 0};
  std::vector<std::int32_t> atoms = {3, 0, 1}, far = {2, 0}, none;
  frames::sort_in_space(positions.data(), atoms);
  CHECK(atoms == (std::vector<std::int32_t>{3, 0, 1}));
  frames::sort_in_space(positions.data(), far);
  CHECK(far.size() == 2);
  frames::sort_in_space(positions.data(), none);
  CHECK(none.empty());
}

}  // namespace
