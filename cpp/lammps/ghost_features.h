// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/backend.h"
#include "lammps/graph_builder.h"
#include "lammps/node_memory.h"

namespace frames {

/// Exchanges features of ghost nodes between ranks.
///
/// LAMMPS' own communication of ghost atoms would carry a row for every periodic image, also for those of a
/// rank's own atoms, and pass rows on from rank to rank: several times the data. A graph has one node for all
/// images of an atom, so here every rank gets each atom that it has as a ghost once, right into the row of
/// the node: read from the owner's memory on the same machine, in a message from another. It depends on
/// nothing but the owners of the ghosts, so that every `comm_style` will do.
class GhostFeatures final : public GhostExchange {
 public:
  /// Collective over `world`.
  explicit GhostFeatures(MPI_Comm world) : world_(world), memory_(world) {}

  /// After every rebuild of the graph, on all ranks: tells the owners of ghost nodes what to send.
  /// @param owners [owned and ghost atoms] as in GraphBuilder::rebuild
  void connect(const GraphBuilder& builder, const std::vector<Owner>& owners);

  std::shared_ptr<void> allocate(std::size_t bytes) override { return memory_.allocate(bytes); }
  void forward(float* rows, std::int32_t width) override { run(Rows(rows, width, MPI_FLOAT)); }
  void forward(double* rows, std::int32_t width) override { run(Rows(rows, width, MPI_DOUBLE)); }

  /// What this rank has got of other ranks since `reset_traffic`.
  struct Traffic {
    std::int64_t exchanges = 0;
    std::int64_t rows = 0;
    std::int64_t bytes = 0;
    std::int64_t message_bytes = 0;  ///< of these, not read in place
  };
  const Traffic& traffic() const { return traffic_; }
  void reset_traffic() { traffic_ = {}; }

  double memory_usage() const;  ///< bytes

 private:
  /// Consecutive nodes that come from, or go to, one other rank.
  struct Part {
    int rank;
    std::int32_t first;
    std::int32_t count;
  };

  /// [nodes, width] numbers.
  struct Rows {
    template <class T>
    Rows(T* start, std::int32_t numbers, MPI_Datatype type_of_t)
        : data(reinterpret_cast<std::byte*>(start)),
          bytes(static_cast<std::size_t>(numbers) * sizeof(T)),
          width(numbers),
          type(type_of_t) {}
    std::byte* data;
    std::size_t bytes;  // of a row
    std::int32_t width;
    MPI_Datatype type;
  };

  void find_neighbours();
  void run(const Rows& rows);
  void receive(const Part& part, const Rows& rows);
  void send(const Rows& rows, bool shared);
  void copy(const Part& part, const std::byte* from, const Rows& rows) const;

  MPI_Comm world_;
  NodeMemory memory_;
  Traffic traffic_;
  std::int32_t owned_ = 0;                  // ghost nodes follow these
  std::vector<Part> from_;                  // ghost nodes of each owner
  std::vector<Part> to_;                    // places in sent_
  std::vector<std::int32_t> sent_;          // own nodes in the order in which others want them
  std::vector<std::int32_t> wanted_;        // [ghost nodes] their nodes at the owners
  std::vector<int> counts_;                 // scratch of `connect`
  std::vector<int> near_;                   // ranks whose memory is read, or who read this rank's
  std::vector<NodeMemory::Place> arrived_;  // [near_] where their rows are
  std::vector<std::byte> buffer_;           // rows on their way out
  std::vector<MPI_Request> requests_;       // of rows
  std::vector<MPI_Request> signals_;        // of places
};

}  // namespace frames
