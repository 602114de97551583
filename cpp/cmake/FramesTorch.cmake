# PyTorch as it is installed in the Python environment, taken by path.
#
# find_package(Torch) is not used: it fails for CUDA builds of PyTorch where no CUDA toolkit is installed.
# Sets FRAMES_TORCH_FOUND, FRAMES_TORCH_VERSION (without the part after '+'), FRAMES_TORCH_LIBRARIES (the folder) and,
# if found, the target frames_torch.

set(FRAMES_TORCH_FOUND FALSE)
set(FRAMES_TORCH_VERSION "")
set(FRAMES_TORCH_LIBRARIES "")
if(FRAMES_TORCHSCRIPT STREQUAL "OFF")
  return()
endif()

# The package is only looked up, not imported: that takes a second and needs none of its libraries.
execute_process(
  COMMAND "${Python_EXECUTABLE}" -c
          "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0], end='')"
  OUTPUT_VARIABLE torch_folder RESULT_VARIABLE torch_missing ERROR_QUIET)
if(torch_missing)
  frames_leave_out(FRAMES_TORCHSCRIPT "TorchScript backend" "${Python_EXECUTABLE} has no PyTorch")
  return()
endif()

file(STRINGS "${torch_folder}/version.py" version_line REGEX "^__version__")
string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9a-z]+" FRAMES_TORCH_VERSION "${version_line}")
set(FRAMES_TORCH_LIBRARIES "${torch_folder}/lib")
foreach(needed include/torch/script.h lib/libtorch_cpu.so lib/libc10.so)
  if(NOT EXISTS "${torch_folder}/${needed}")
    frames_leave_out(FRAMES_TORCHSCRIPT "TorchScript backend" "PyTorch in ${torch_folder} has no ${needed}")
    return()
  endif()
endforeach()

add_library(frames_torch INTERFACE)
target_include_directories(frames_torch SYSTEM INTERFACE
  "${torch_folder}/include" "${torch_folder}/include/torch/csrc/api/include")
target_link_libraries(frames_torch INTERFACE "${FRAMES_TORCH_LIBRARIES}/libtorch_cpu.so" "${FRAMES_TORCH_LIBRARIES}/libc10.so")
# Libraries that PyTorch's own need are found at run time through its rpath.
target_link_options(frames_torch INTERFACE "LINKER:--allow-shlib-undefined")
set(FRAMES_TORCH_FOUND TRUE)
message(STATUS "PyTorch ${FRAMES_TORCH_VERSION} in ${torch_folder}")
