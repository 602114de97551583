# OpenMM's headers and library, by path.
#
# They are taken from the openmm package of the Python environment (the wheel on PyPI keeps them in OpenMM.libs beside
# itself, conda in its prefix), unless -DFRAMES_OPENMM_ROOT=... names a folder with include/OpenMM.h and lib/libOpenMM.so.
# Sets FRAMES_OPENMM_FOUND, FRAMES_OPENMM_VERSION (major.minor) and, if found, the target frames_openmm_library.

set(FRAMES_OPENMM_FOUND FALSE)
set(FRAMES_OPENMM_VERSION "")
if(FRAMES_OPENMM STREQUAL "OFF")
  return()
endif()
set(FRAMES_OPENMM_ROOT "" CACHE PATH "Folder with OpenMM's include and lib; empty: of the openmm package of Python")

execute_process(
  COMMAND "${Python_EXECUTABLE}" -c
          "import importlib.util as u, importlib.metadata as m, os, sys
folder = os.path.dirname(u.find_spec('openmm').submodule_search_locations[0])
bundled = os.path.join(folder, 'OpenMM.libs')
print(m.version('openmm'), bundled if os.path.isdir(bundled) else sys.prefix, sep=';', end='')"
  OUTPUT_VARIABLE openmm_found RESULT_VARIABLE openmm_missing ERROR_QUIET)
if(openmm_missing)
  frames_leave_out(FRAMES_OPENMM "OpenMM force" "${Python_EXECUTABLE} has no openmm package")
  return()
endif()
list(GET openmm_found 0 openmm_version)
list(GET openmm_found 1 openmm_root)
if(FRAMES_OPENMM_ROOT)
  set(openmm_root "${FRAMES_OPENMM_ROOT}")
endif()
foreach(needed include/OpenMM.h include/openmm/internal/CustomCPPForceImpl.h lib/libOpenMM.so)
  if(NOT EXISTS "${openmm_root}/${needed}")
    frames_leave_out(FRAMES_OPENMM "OpenMM force" "no ${needed} in ${openmm_root}")
    return()
  endif()
endforeach()
string(REGEX MATCH "^[0-9]+\\.[0-9]+" FRAMES_OPENMM_VERSION "${openmm_version}")
if(FRAMES_OPENMM_VERSION VERSION_LESS 8.6)
  frames_leave_out(FRAMES_OPENMM "OpenMM force" "OpenMM ${openmm_version} is too old, 8.6 or newer is needed")
  return()
endif()

add_library(frames_openmm_library INTERFACE)
target_include_directories(frames_openmm_library SYSTEM INTERFACE "${openmm_root}/include")
target_link_libraries(frames_openmm_library INTERFACE "${openmm_root}/lib/libOpenMM.so")
set(FRAMES_OPENMM_FOUND TRUE)
message(STATUS "OpenMM ${openmm_version} in ${openmm_root}")
