# pybind11 of the Python environment, for the Python modules. Sets pybind11_FOUND.

if(Python_Development.Module_FOUND)
  if(NOT pybind11_DIR)
    execute_process(COMMAND "${Python_EXECUTABLE}" -m pybind11 --cmakedir
      OUTPUT_VARIABLE pybind11_DIR OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  find_package(pybind11 CONFIG QUIET)
endif()
