// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#include "lammps/ghost_features.h"

#include <cstring>

namespace frames {

namespace {

std::size_t at(std::int32_t index) {
  return static_cast<std::size_t>(index);
}

}  // namespace

void GhostFeatures::begin(std::int32_t owned, std::int32_t ghosts) {
  owned_ = owned;
  ghosts_ = ghosts;
  active_ = true;
}

template <typename Scalar>
void GhostFeatures::run_forward(Scalar* rows, std::int32_t width) {
  rows_ = reinterpret_cast<std::byte*>(rows);
  row_size_ = at(width) * sizeof(Scalar);
  doubles_ = doubles(width, sizeof(Scalar));
  out_(doubles_);
}

int GhostFeatures::pack_forward(int count, const int* atoms, double* buffer) const {
  for (int k = 0; k < count; ++k) {
    const std::int32_t node = builder_.node_of_atom(atoms[k]);
    if (node >= 0) std::memcpy(buffer + at(k) * at(doubles_), rows_ + at(node) * row_size_, row_size_);
  }
  bytes_sent_ += static_cast<double>(count) * static_cast<double>(row_size_);
  return count * doubles_;
}

void GhostFeatures::unpack_forward(int count, int first, const double* buffer) {
  for (int k = 0; k < count; ++k) {
    const std::int32_t node = builder_.node_of_atom(first + k);
    // Images of this rank's own atoms share the row of the atom, which is right already.
    if (node < builder_.graph().locals) continue;
    std::memcpy(rows_ + at(node) * row_size_, buffer + at(k) * at(doubles_), row_size_);
  }
}

template <typename Scalar>
void GhostFeatures::run_reverse(Scalar* rows, std::int32_t width) {
  rows_ = reinterpret_cast<std::byte*>(rows);
  row_size_ = at(width) * sizeof(Scalar);
  doubles_ = doubles(width, sizeof(Scalar));
  single_ = sizeof(Scalar) == sizeof(float);
  passed_.assign(at(ghosts_) * row_size_, std::byte{0});
  const Graph& graph = builder_.graph();
  for (std::int32_t node = graph.locals; node < graph.atoms; ++node) {
    const std::int32_t ghost = builder_.node_atoms()[at(node)] - owned_;
    std::memcpy(passed_.data() + at(ghost) * row_size_, rows_ + at(node) * row_size_, row_size_);
  }
  back_(doubles_);
}

int GhostFeatures::pack_reverse(int count, int first, double* buffer) const {
  for (int k = 0; k < count; ++k) {
    std::memcpy(buffer + at(k) * at(doubles_), passed_.data() + at(first + k - owned_) * row_size_,
                row_size_);
  }
  bytes_sent_ += static_cast<double>(count) * static_cast<double>(row_size_);
  return count * doubles_;
}

void GhostFeatures::unpack_reverse(int count, const int* atoms, const double* buffer) {
  for (int k = 0; k < count; ++k) {
    const std::int32_t atom = atoms[k], node = builder_.node_of_atom(atom);
    if (node < 0) continue;
    std::byte* sum =
        atom < owned_ ? rows_ + at(node) * row_size_ : passed_.data() + at(atom - owned_) * row_size_;
    const double* row = buffer + at(k) * at(doubles_);
    single_ ? add_row<float>(sum, row) : add_row<double>(sum, row);
  }
}

template <typename Scalar>
void GhostFeatures::add_row(std::byte* sum, const double* row) const {
  auto* target = reinterpret_cast<Scalar*>(sum);
  const auto* source = reinterpret_cast<const std::byte*>(row);
  for (std::size_t k = 0; k < row_size_ / sizeof(Scalar); ++k) {
    Scalar value;
    std::memcpy(&value, source + k * sizeof(Scalar), sizeof(Scalar));
    target[k] += value;
  }
}

template void GhostFeatures::run_forward(float*, std::int32_t);
template void GhostFeatures::run_forward(double*, std::int32_t);
template void GhostFeatures::run_reverse(float*, std::int32_t);
template void GhostFeatures::run_reverse(double*, std::int32_t);

}  // namespace frames
