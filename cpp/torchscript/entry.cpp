// The C functions of this library. Every exception is caught here, once, and leaves as text.

#include <algorithm>
#include <cstring>
#include <string>

#include "torchscript/model.h"

namespace {

/// The last line of a TorchScript traceback says what went wrong; the rest is of no use outside of Python.
std::string shortened(std::string text) {
  const std::size_t error = text.rfind("RuntimeError: ");
  if (error != std::string::npos) text.erase(0, error + std::strlen("RuntimeError: "));
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

void copy_message(const std::string& text, char* message, std::size_t size) {
  const std::size_t length = std::min(text.size(), size - 1);
  std::memcpy(message, text.data(), length);
  message[length] = '\0';
}

template <typename Function>
int guarded(char* message, std::size_t size, Function&& function) {
  try {
    function();
    return 0;
  } catch (const c10::Error& error) {
    copy_message(shortened(error.what_without_backtrace()), message, size);
  } catch (const std::exception& error) {
    copy_message(shortened(error.what()), message, size);
  } catch (...) {
    copy_message("unknown error in PyTorch", message, size);
  }
  return 1;
}

int open_model(const FramesModelView* model, const char* device, std::int32_t device_index,
               std::int32_t threads, FramesTorchModel** result, char* message, std::size_t size) {
  return guarded(message, size,
                 [&] { *result = new FramesTorchModel(*model, device, device_index, threads); });
}

void close_model(FramesTorchModel* model) {
  delete model;
}

int evaluate(FramesTorchModel* model, const FramesGraphView* graph, double* atom_energies,
             double* edge_gradients, char* message, std::size_t size) {
  return guarded(message, size, [&] { model->evaluate(*graph, atom_energies, edge_gradients); });
}

const char* device_name(const FramesTorchModel* model) {
  return model->device_name().c_str();
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const FramesTorchApi* frames_torchscript() {
  static const FramesTorchApi api = {
      frames_torchscript_abi_version, FRAMES_TORCH_VERSION, open_model, close_model, evaluate, device_name};
  return &api;
}
