// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#pragma once

#include <mpi.h>

namespace frames {

/// Where a rank runs: its number among the ranks of `world` on the same machine, and how many those are.
struct NodePlace {
  int rank = 0;
  int ranks = 1;
};

/// Collective over `world`.
NodePlace place_on_node(MPI_Comm world);

/// OMP_NUM_THREADS if it is set, else the cores that this process may use, shared among the ranks of the
/// machine.
int threads_per_rank(const NodePlace& place);

}  // namespace frames
