// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#include "lammps/node_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "core/error.h"

namespace frames {

namespace {

struct Block {
  std::int64_t number;
  std::byte* start;
  std::size_t bytes;
  int file;
};

/// What a rank publishes for the others' attempt to read its memory.
struct Probe {
  std::int64_t token;
  std::int32_t process;
  std::int32_t file;
  std::int32_t rank;
  std::int32_t unused = 0;
};

/// A file in memory of that size, mapped; `file` is -1 where the system has none.
Block make_block(std::size_t bytes) {
  Block block{0, nullptr, bytes, -1};
#ifdef __linux__
  block.file = memfd_create("frames", MFD_CLOEXEC);
  if (block.file < 0) return block;
  void* start = MAP_FAILED;
  if (ftruncate(block.file, static_cast<off_t>(bytes)) == 0) {
    start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, block.file, 0);
  }
  if (start == MAP_FAILED) {
    close(block.file);
    block.file = -1;
  } else {
    block.start = static_cast<std::byte*>(start);
  }
#endif
  return block;
}

void release(const Block& block) {
  munmap(block.start, block.bytes);
  close(block.file);
}

/// Maps a block of another process for reading; null if that is impossible.
void* map_other(std::int32_t process, std::int32_t file, std::size_t bytes) {
  const std::string path = "/proc/" + std::to_string(process) + "/fd/" + std::to_string(file);
  const int opened = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (opened < 0) return nullptr;
  void* const start = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, opened, 0);
  close(opened);
  return start == MAP_FAILED ? nullptr : start;
}

bool switched_off() {
  const char* const wish = std::getenv("FRAMES_SHARED_MEMORY");
  return wish && std::strcmp(wish, "off") == 0;
}

}  // namespace

struct NodeMemory::Blocks {
  std::vector<Block> alive;
  std::int64_t next = 0;
};

NodeMemory::NodeMemory(MPI_Comm world) : blocks_(std::make_shared<Blocks>()) {
  int rank = 0, ranks = 1;
  MPI_Comm_rank(world, &rank);
  MPI_Comm_size(world, &ranks);
  reached_.assign(static_cast<std::size_t>(ranks), 0);
  MPI_Comm node;
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  int mates = 1;
  MPI_Comm_size(node, &mates);

  const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const Block block = switched_off() ? Block{0, nullptr, 0, -1} : make_block(page);
  Probe mine{0x6672616d65730000 + rank, static_cast<std::int32_t>(getpid()), block.file, rank};
  if (block.start) std::memcpy(block.start, &mine.token, sizeof mine.token);
  std::vector<Probe> probes(static_cast<std::size_t>(mates));
  MPI_Allgather(&mine, sizeof mine, MPI_BYTE, probes.data(), sizeof mine, MPI_BYTE, node);

  std::vector<int> can(probes.size(), 0), others_can(probes.size(), 0);
  for (std::size_t k = 0; k < probes.size(); ++k) {
    if (!block.start || probes[k].file < 0 || probes[k].rank == rank) continue;
    void* const seen = map_other(probes[k].process, probes[k].file, page);
    if (!seen) continue;
    can[k] = std::memcmp(seen, &probes[k].token, sizeof probes[k].token) == 0;
    munmap(seen, page);
  }
  MPI_Alltoall(can.data(), 1, MPI_INT, others_can.data(), 1, MPI_INT, node);  // also: all have looked
  for (std::size_t k = 0; k < probes.size(); ++k) {
    if (can[k] && others_can[k]) reached_[static_cast<std::size_t>(probes[k].rank)] = 1;
  }
  if (block.start) release(block);
  MPI_Comm_free(&node);
}

NodeMemory::~NodeMemory() {
  for (const auto& [key, mapping] : mapped_) munmap(mapping.start, mapping.bytes);
}

std::shared_ptr<void> NodeMemory::allocate(std::size_t bytes) {
  if (std::find(reached_.begin(), reached_.end(), 1) == reached_.end()) return nullptr;
  Block block = make_block(bytes);
  if (block.file < 0) throw std::bad_alloc();
  block.number = blocks_->next++;
  blocks_->alive.push_back(block);
  return {block.start, [blocks = blocks_, block](void*) {
            release(block);
            auto& alive = blocks->alive;
            alive.erase(std::find_if(alive.begin(), alive.end(),
                                     [&](const Block& other) { return other.number == block.number; }));
          }};
}

NodeMemory::Place NodeMemory::place(const void* pointer) const {
  const auto* const byte = static_cast<const std::byte*>(pointer);
  for (const Block& block : blocks_->alive) {
    if (byte < block.start || byte >= block.start + block.bytes) continue;
    return {block.number,       blocks_->alive.front().number,       static_cast<std::int64_t>(block.bytes),
            byte - block.start, static_cast<std::int32_t>(getpid()), block.file};
  }
  return {};
}

const std::byte* NodeMemory::find(int rank, const Place& place) {
  const auto known = mapped_.find({rank, place.block});
  if (known != mapped_.end()) return static_cast<const std::byte*>(known->second.start) + place.offset;
  for (auto old = mapped_.lower_bound({rank, 0}); old != mapped_.lower_bound({rank, place.oldest});) {
    munmap(old->second.start, old->second.bytes);
    old = mapped_.erase(old);
  }
  void* const start = map_other(place.process, place.file, static_cast<std::size_t>(place.bytes));
  if (!start) {
    throw Error("cannot read the memory of rank " + std::to_string(rank) + ": " + std::strerror(errno) +
                "; set FRAMES_SHARED_MEMORY=off to use messages");
  }
  mapped_[{rank, place.block}] = {start, static_cast<std::size_t>(place.bytes)};
  return static_cast<const std::byte*>(start) + place.offset;
}

}  // namespace frames
