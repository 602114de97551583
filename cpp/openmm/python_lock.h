#pragma once

#include <Python.h>

namespace frames {

/// Lets go of Python's lock while it lives, if this thread holds it.
///
/// OpenMM's Python classes hold the lock in some calls that evaluate forces (making a Context,
/// `getCollectiveVariableValues`) and not in others (`step`). PyTorch refuses to differentiate on a thread
/// that holds it, and other Python threads should go on meanwhile.
class WithoutPythonLock {
 public:
  WithoutPythonLock() : state_(PyGILState_Check() ? PyEval_SaveThread() : nullptr) {}
  ~WithoutPythonLock() {
    if (state_) PyEval_RestoreThread(state_);
  }
  WithoutPythonLock(const WithoutPythonLock&) = delete;
  WithoutPythonLock& operator=(const WithoutPythonLock&) = delete;

 private:
  PyThreadState* state_;
};

}  // namespace frames
