#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/graph.h"

namespace frames {

/// The graph of a structure that moves, in open space or in a periodic box of any shape and size.
///
/// Pairs up to cutoff + skin are remembered until an atom has moved by more than half of the skin, or the box
/// has changed. What comes out does not depend on when that was, to the last bit: pairs are kept in an order
/// of their own, and vectors follow from the positions and whole numbers of lattice vectors. So a simulation
/// that is restarted from a checkpoint goes on as if it had not been interrupted.
class VerletList {
 public:
  /// @param cutoff Å
  /// @param skin Å, 0 or more
  VerletList(double cutoff, double skin, bool periodic, std::vector<std::int32_t> species);

  /// @param positions [3 atoms] Å, anywhere in space
  /// @param cell Å, rows are the lattice vectors; not read in open space
  /// Throws Error as `build_graph` does.
  void update(const std::vector<double>& positions, const std::array<double, 9>& cell);

  const Graph& graph() const { return graph_; }

  /// How often pairs were looked for.
  std::int64_t builds() const { return builds_; }

 private:
  struct Pair {
    std::int32_t neighbour;
    std::array<std::int32_t, 3> steps;  // lattice vectors from the neighbour as it stands to the image meant
    std::array<double, 3> shift;        // the same in Å
  };

  bool holds(const std::vector<double>& positions, const std::array<double, 9>& cell) const;
  void build(const std::vector<double>& positions, const std::array<double, 9>& cell);

  double cutoff_;
  double skin_;
  bool periodic_;
  std::int64_t builds_ = 0;
  Graph graph_;

  // Since the last build.
  std::vector<Pair> pairs_;
  std::vector<std::size_t> starts_;  // [atoms + 1]
  std::vector<double> positions_;
  std::array<double, 9> cell_{};
};

}  // namespace frames
