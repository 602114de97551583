# Settings that every target of the project shares.

function(frames_target_settings target)
  target_compile_features(${target} PUBLIC cxx_std_17)
  set_target_properties(${target} PROPERTIES
    CXX_EXTENSIONS OFF
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    POSITION_INDEPENDENT_CODE ON)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic)
  if(FRAMES_WARNINGS_AS_ERRORS)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(FRAMES_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${FRAMES_SANITIZE} -fno-sanitize-recover=all -g)
    target_link_options(${target} PUBLIC -fsanitize=${FRAMES_SANITIZE})
  endif()
endfunction()

# Leaves a part out with a message, or stops if it was asked for by name (its option is ON).
macro(frames_leave_out option what reason)
  if(${option} STREQUAL "ON")
    message(FATAL_ERROR "${what}: ${reason}")
  endif()
  message(STATUS "${what} is left out: ${reason}")
endmacro()
