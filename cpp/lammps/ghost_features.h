// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/backend.h"
#include "lammps/graph_builder.h"

namespace frames {

/// Exchanges features of ghost nodes between ranks.
///
/// LAMMPS' own communication of ghost atoms would carry a row for every periodic image, also for those of a
/// rank's own atoms, and pass rows on from rank to rank: several times the data. A graph has one node for all
/// images of an atom, so here every rank sends each of its atoms once to each rank that has it as a ghost,
/// and receives right into the rows of the nodes. It depends on nothing but the owners of the ghosts, so that
/// every `comm_style` will do.
class GhostFeatures final : public GhostExchange {
 public:
  explicit GhostFeatures(MPI_Comm world) : world_(world) {}

  /// After every rebuild of the graph, on all ranks: tells the owners of ghost nodes what to send.
  /// @param owners [owned and ghost atoms] as in GraphBuilder::rebuild
  void connect(const GraphBuilder& builder, const std::vector<Owner>& owners);

  void forward(float* rows, std::int32_t width) override { run(rows, sizeof(float), width); }
  void forward(double* rows, std::int32_t width) override { run(rows, sizeof(double), width); }

  double bytes_sent() const { return bytes_sent_; }  ///< since construction
  double memory_usage() const;                       ///< bytes

 private:
  /// Consecutive nodes that come from, or go to, one other rank.
  struct Part {
    int rank;
    std::int32_t first;
    std::int32_t count;
  };

  void run(void* rows, std::size_t scalar, std::int32_t width);

  MPI_Comm world_;
  std::vector<Part> from_;            // ghost nodes of each owner
  std::vector<Part> to_;              // places in sent_
  std::vector<std::int32_t> sent_;    // own nodes in the order in which others want them
  std::vector<std::int32_t> wanted_;  // scratch of `connect`: indices at the owners
  std::vector<int> counts_;           // scratch of `connect`
  std::vector<std::byte> buffer_;     // rows on their way out
  std::vector<MPI_Request> requests_;
  double bytes_sent_ = 0.0;
};

}  // namespace frames
