#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace frames {

/// Finds points within a fixed radius of others by sorting them into cells at least one radius wide.
///
/// Knows nothing of periodicity: engines hand over periodic images as points of their own. Storage is kept
/// from build to build.
class CellList {
 public:
  /// Sorts `count` points, [3 count] in Å, all finite.
  void build(const double* points, std::int32_t count, double radius);

  /// Calls `visit(index)` for every point closer than the radius to `centre`, the centre's own point
  /// included.
  template <typename Visit>
  void for_each_within(const double* centre, Visit&& visit) const;

 private:
  std::array<std::int32_t, 3> cell_of(const double* point) const;
  std::size_t flat(std::int32_t x, std::int32_t y, std::int32_t z) const {
    return (static_cast<std::size_t>(z) * static_cast<std::size_t>(cells_[1]) + static_cast<std::size_t>(y)) *
               static_cast<std::size_t>(cells_[0]) +
           static_cast<std::size_t>(x);
  }
  void choose_cells(const double* points, std::int32_t count);

  double radius_ = 0.0;
  std::array<double, 3> lower_{};
  std::array<double, 3> cells_per_length_{};
  std::array<std::int32_t, 3> cells_{1, 1, 1};
  std::vector<std::int32_t> starts_;   // [cells + 1] first entry of each cell; x runs fastest
  std::vector<std::int32_t> indices_;  // [count] points sorted by cell
  std::vector<double> sorted_;         // [3 count] their coordinates in the same order
  std::vector<std::size_t> cell_;      // [count] scratch
};

template <typename Visit>
void CellList::for_each_within(const double* centre, Visit&& visit) const {
  const std::array<std::int32_t, 3> home = cell_of(centre);
  const auto first = [&](std::size_t k) { return home[k] > 0 ? home[k] - 1 : 0; };
  const auto last = [&](std::size_t k) { return home[k] + 1 < cells_[k] ? home[k] + 1 : cells_[k] - 1; };
  const double limit = radius_ * radius_;
  for (std::int32_t z = first(2); z <= last(2); ++z) {
    for (std::int32_t y = first(1); y <= last(1); ++y) {
      // Cells along x are neighbours in memory: one run for up to three of them.
      const std::int32_t begin = starts_[flat(first(0), y, z)];
      const std::int32_t end = starts_[flat(last(0), y, z) + 1];
      for (std::int32_t k = begin; k < end; ++k) {
        const double* point = sorted_.data() + 3 * static_cast<std::size_t>(k);
        const double dx = point[0] - centre[0], dy = point[1] - centre[1], dz = point[2] - centre[2];
        if (dx * dx + dy * dy + dz * dz < limit) visit(indices_[static_cast<std::size_t>(k)]);
      }
    }
  }
}

}  // namespace frames
