// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#pragma once

#include <mpi.h>

namespace frames {

/// Number of this rank among those of `world` on the same machine: which GPU it uses. Collective over
/// `world`.
int rank_on_node(MPI_Comm world);

}  // namespace frames
