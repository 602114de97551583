// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/backend.h"
#include "lammps/graph_builder.h"

namespace frames {

/// Exchanges features of ghost nodes through the communication of a pair style.
///
/// LAMMPS moves rows of doubles between its atoms, in several steps for far ghosts: a rank passes on ghosts
/// that it received. Nodes are fewer than atoms (GraphBuilder), so that several ghost atoms share a row. On
/// the way out each of them carries a copy; on the way back the first one carries the sum, and the others
/// what they were passed.
class GhostFeatures final : public GhostExchange {
 public:
  using Communicate = std::function<void(int doubles_per_atom)>;

  /// @param out, back: start LAMMPS' forward and reverse communication, which call `pack_forward` etc. below
  GhostFeatures(const GraphBuilder& builder, Communicate out, Communicate back)
      : builder_(builder), out_(std::move(out)), back_(std::move(back)) {}

  /// Doubles that a row takes in LAMMPS' buffers.
  static int doubles(std::int32_t width, std::size_t scalar_size) {
    return static_cast<int>((static_cast<std::size_t>(width) * scalar_size + sizeof(double) - 1) /
                            sizeof(double));
  }

  /// Before every evaluation. @param owned, ghosts: LAMMPS' numbers of atoms
  void begin(std::int32_t owned, std::int32_t ghosts);
  void end() { active_ = false; }
  bool active() const {
    return active_;
  }  ///< whose communication is running: this one's, or the pair style's own

  void forward(float* rows, std::int32_t width) override { run_forward(rows, width); }
  void forward(double* rows, std::int32_t width) override { run_forward(rows, width); }
  void reverse(float* rows, std::int32_t width) override { run_reverse(rows, width); }
  void reverse(double* rows, std::int32_t width) override { run_reverse(rows, width); }

  int pack_forward(int count, const int* atoms, double* buffer) const;
  void unpack_forward(int count, int first, const double* buffer);
  int pack_reverse(int count, int first, double* buffer) const;
  void unpack_reverse(int count, const int* atoms, const double* buffer);

  double bytes_sent() const {
    return bytes_sent_;
  }  ///< since construction, both ways, copies on one rank included

 private:
  template <typename Scalar>
  void run_forward(Scalar* rows, std::int32_t width);
  template <typename Scalar>
  void run_reverse(Scalar* rows, std::int32_t width);
  template <typename Scalar>
  void add_row(std::byte* sum, const double* row) const;

  const GraphBuilder& builder_;
  Communicate out_, back_;
  bool active_ = false;
  std::int32_t owned_ = 0, ghosts_ = 0;

  // The exchange that is running.
  std::byte* rows_ = nullptr;  // [nodes] rows of row_size_ bytes
  std::size_t row_size_ = 0;
  int doubles_ = 0;
  bool single_ = false;
  std::vector<std::byte> passed_;  // [ghosts] rows on their way back
  mutable double bytes_sent_ = 0.0;
};

}  // namespace frames
