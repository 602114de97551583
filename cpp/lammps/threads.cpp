// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#include "lammps/threads.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>

namespace frames {

NodePlace place_on_node(MPI_Comm world) {
  MPI_Comm node;
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  NodePlace place;
  MPI_Comm_rank(node, &place.rank);
  MPI_Comm_size(node, &place.ranks);
  MPI_Comm_free(&node);
  return place;
}

int threads_per_rank(const NodePlace& place) {
  if (const char* wanted = std::getenv("OMP_NUM_THREADS")) return std::max(1, std::atoi(wanted));
  cpu_set_t cores;
  CPU_ZERO(&cores);
  const int count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
  return std::max(1, count / place.ranks);
}

}  // namespace frames
