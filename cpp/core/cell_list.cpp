#include "core/cell_list.h"

#include <algorithm>
#include <cmath>

namespace frames {

namespace {

// Many more cells than points (vacuum, one atom far away) would only cost memory.
constexpr double cells_per_point = 2.0;
constexpr double fewest_cells = 64.0;

}  // namespace

void CellList::choose_cells(const double* points, std::int32_t count) {
  std::array<double, 3> upper{};
  lower_ = {};
  for (std::int32_t i = 0; i < count; ++i) {
    for (std::size_t k = 0; k < 3; ++k) {
      const double x = points[3 * static_cast<std::size_t>(i) + k];
      lower_[k] = i == 0 ? x : std::min(lower_[k], x);
      upper[k] = i == 0 ? x : std::max(upper[k], x);
    }
  }
  const double most = std::max(fewest_cells, cells_per_point * count);
  std::array<double, 3> extent{}, wanted{};
  for (std::size_t k = 0; k < 3; ++k) {
    extent[k] = upper[k] - lower_[k];
    wanted[k] = std::clamp(std::floor(extent[k] / radius_), 1.0, most);
  }
  while (wanted[0] * wanted[1] * wanted[2] > most) {
    double& longest = *std::max_element(wanted.begin(), wanted.end());
    longest = std::max(1.0, std::floor(longest / 2.0));
  }
  for (std::size_t k = 0; k < 3; ++k) {
    cells_[k] = static_cast<std::int32_t>(wanted[k]);
    cells_per_length_[k] = extent[k] > 0.0 ? wanted[k] / extent[k] : 0.0;
  }
}

std::array<std::int32_t, 3> CellList::cell_of(const double* point) const {
  std::array<std::int32_t, 3> cell{};
  for (std::size_t k = 0; k < 3; ++k) {
    const double x = (point[k] - lower_[k]) * cells_per_length_[k];
    cell[k] = static_cast<std::int32_t>(std::clamp(x, 0.0, static_cast<double>(cells_[k] - 1)));
  }
  return cell;
}

void CellList::build(const double* points, std::int32_t count, double radius) {
  radius_ = radius;
  choose_cells(points, count);
  const auto n = static_cast<std::size_t>(count);
  starts_.assign(flat(cells_[0] - 1, cells_[1] - 1, cells_[2] - 1) + 2, 0);
  cell_.resize(n);
  indices_.resize(n);
  sorted_.resize(3 * n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::array<std::int32_t, 3> cell = cell_of(points + 3 * i);
    cell_[i] = flat(cell[0], cell[1], cell[2]);
    ++starts_[cell_[i] + 1];
  }
  for (std::size_t c = 1; c < starts_.size(); ++c) starts_[c] += starts_[c - 1];
  // Filling moves each start to the end of its cell, which is the start of the next: shift back afterwards.
  for (std::size_t i = 0; i < n; ++i) {
    const auto slot = static_cast<std::size_t>(starts_[cell_[i]]++);
    indices_[slot] = static_cast<std::int32_t>(i);
    std::copy_n(points + 3 * i, 3, sorted_.data() + 3 * slot);
  }
  for (std::size_t c = starts_.size() - 1; c > 0; --c) starts_[c] = starts_[c - 1];
  starts_[0] = 0;
}

}  // namespace frames
