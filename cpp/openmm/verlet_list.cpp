#include "openmm/verlet_list.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "core/structure.h"

namespace frames {

namespace {

using Matrix = std::array<double, 9>;

/// Inverse of a cell that `build_graph` has accepted.
Matrix inverse(const Matrix& m) {
  const double a = m[4] * m[8] - m[5] * m[7], b = m[5] * m[6] - m[3] * m[8], c = m[3] * m[7] - m[4] * m[6];
  const double scale = 1.0 / (m[0] * a + m[1] * b + m[2] * c);
  return {scale * a, scale * (m[2] * m[7] - m[1] * m[8]), scale * (m[1] * m[5] - m[2] * m[4]),
          scale * b, scale * (m[0] * m[8] - m[2] * m[6]), scale * (m[2] * m[3] - m[0] * m[5]),
          scale * c, scale * (m[1] * m[6] - m[0] * m[7]), scale * (m[0] * m[4] - m[1] * m[3])};
}

/// Row vector times matrix.
std::array<double, 3> product(const std::array<double, 3>& v, const Matrix& m) {
  std::array<double, 3> result{};
  for (std::size_t k = 0; k < 3; ++k) result[k] = v[0] * m[k] + v[1] * m[3 + k] + v[2] * m[6 + k];
  return result;
}

}  // namespace

VerletList::VerletList(double cutoff, double skin, bool periodic, std::vector<std::int32_t> species)
    : cutoff_(cutoff), skin_(skin), periodic_(periodic) {
  graph_.atoms = graph_.locals = graph_.centres = static_cast<std::int32_t>(species.size());
  graph_.species = std::move(species);
}

bool VerletList::holds(const std::vector<double>& positions, const Matrix& cell) const {
  if (builds_ == 0 || (periodic_ && cell != cell_)) return false;
  const double limit = 0.25 * skin_ * skin_;
  for (std::size_t i = 0; i < positions.size(); i += 3) {
    const double dx = positions[i] - positions_[i], dy = positions[i + 1] - positions_[i + 1],
                 dz = positions[i + 2] - positions_[i + 2];
    if (!(dx * dx + dy * dy + dz * dz <= limit)) return false;  // NaN does not hold
  }
  return true;
}

void VerletList::build(const std::vector<double>& positions, const Matrix& cell) {
  const std::vector<std::int32_t> species = graph_.species;
  build_graph(species, positions, cell, {periodic_, periodic_, periodic_}, cutoff_ + skin_, graph_);
  const Matrix to_fractions = periodic_ ? inverse(cell) : Matrix{};
  pairs_.resize(graph_.edges());
  starts_.assign(graph_.offsets.begin(), graph_.offsets.end());
  for (std::size_t i = 0; i < species.size(); ++i) {
    for (std::size_t e = starts_[i]; e < starts_[i + 1]; ++e) {
      const auto j = static_cast<std::size_t>(graph_.neighbours[e]);
      std::array<double, 3> shift{};
      for (std::size_t k = 0; k < 3; ++k)
        shift[k] = graph_.vectors[3 * e + k] - (positions[3 * j + k] - positions[3 * i + k]);
      shift = product(shift, to_fractions);
      Pair pair{graph_.neighbours[e], {}, {}};
      for (std::size_t k = 0; k < 3; ++k) pair.steps[k] = static_cast<std::int32_t>(std::lround(shift[k]));
      const std::array<double, 3> steps = {static_cast<double>(pair.steps[0]),
                                           static_cast<double>(pair.steps[1]),
                                           static_cast<double>(pair.steps[2])};
      if (periodic_) pair.shift = product(steps, cell);
      pairs_[e] = pair;
    }
    // Neighbours of one species follow each other: the engine is 9 % faster than with neighbours in the order
    // of their indices (benchmarks/NOTES.md).
    const auto key = [&](const Pair& pair) {
      return std::make_tuple(species[static_cast<std::size_t>(pair.neighbour)], pair.neighbour, pair.steps);
    };
    std::sort(pairs_.begin() + static_cast<std::ptrdiff_t>(starts_[i]),
              pairs_.begin() + static_cast<std::ptrdiff_t>(starts_[i + 1]),
              [&](const Pair& a, const Pair& b) { return key(a) < key(b); });
  }
  positions_ = positions;
  cell_ = cell;
  ++builds_;
}

void VerletList::update(const std::vector<double>& positions, const Matrix& cell) {
  if (!holds(positions, cell)) build(positions, cell);
  const double limit = cutoff_ * cutoff_;
  // Room for every pair; cut to those within the cutoff at the end.
  graph_.neighbours.resize(pairs_.size());
  graph_.vectors.resize(3 * pairs_.size());
  std::size_t edges = 0;
  for (std::size_t i = 0; i + 1 < starts_.size(); ++i) {
    const double* const centre = positions.data() + 3 * i;
    for (std::size_t p = starts_[i]; p < starts_[i + 1]; ++p) {
      const Pair& pair = pairs_[p];
      const double* const far = positions.data() + 3 * static_cast<std::size_t>(pair.neighbour);
      const double x = far[0] - centre[0] + pair.shift[0], y = far[1] - centre[1] + pair.shift[1],
                   z = far[2] - centre[2] + pair.shift[2];
      if (x * x + y * y + z * z >= limit) continue;
      graph_.neighbours[edges] = pair.neighbour;
      double* const vector = graph_.vectors.data() + 3 * edges++;
      vector[0] = x;
      vector[1] = y;
      vector[2] = z;
    }
    graph_.offsets[i + 1] = static_cast<std::int64_t>(edges);
  }
  graph_.neighbours.resize(edges);
  graph_.vectors.resize(3 * edges);
}

}  // namespace frames
