// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace frames {

/// Memory that other ranks of the same machine read directly, instead of getting copies in messages.
///
/// A block is an anonymous file (memfd) that others open through /proc; it needs no space in /dev/shm and
/// vanishes with its last user. Where that is impossible (other machines, other containers, systems without
/// memfd, or FRAMES_SHARED_MEMORY=off in the environment) ranks do not reach each other and use messages.
class NodeMemory {
 public:
  /// Collective over `world`: every rank tries to read a page of each rank on its machine.
  explicit NodeMemory(MPI_Comm world);
  ~NodeMemory();
  NodeMemory(const NodeMemory&) = delete;
  NodeMemory& operator=(const NodeMemory&) = delete;

  /// True if both ranks can read each other's blocks.
  bool reaches(int rank) const { return reached_[static_cast<std::size_t>(rank)]; }

  /// Zeroed memory on a page, which lives until the last pointer to it is gone, also without this object.
  /// Null if no rank reaches this one. Throws std::bad_alloc.
  std::shared_ptr<void> allocate(std::size_t bytes);

  /// Where others find a part of a block of this rank. Plain bytes, to be sent.
  struct Place {
    std::int64_t block = -1;   ///< -1: not in memory from `allocate`
    std::int64_t oldest = 0;   ///< no block before this one is alive
    std::int64_t bytes = 0;    ///< of the block
    std::int64_t offset = 0;   ///< in the block
    std::int32_t process = 0;  ///< identifier of the process
    std::int32_t file = -1;    ///< descriptor in that process
  };
  Place place(const void* pointer) const;

  /// The same bytes in this rank's address space. The first time that a block is asked for it is mapped.
  /// Throws Error.
  const std::byte* find(int rank, const Place& place);

 private:
  struct Blocks;  // of this rank
  struct Mapping {
    void* start;
    std::size_t bytes;
  };

  std::vector<char> reached_;  // [ranks of world]
  std::shared_ptr<Blocks> blocks_;
  std::map<std::pair<int, std::int64_t>, Mapping> mapped_;  // blocks of others, by rank and number
};

}  // namespace frames
