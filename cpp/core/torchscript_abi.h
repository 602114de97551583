#pragma once

#include <cstddef>
#include <cstdint>

/// The C functions of libframes_torchscript, which is opened at run time: no exception and no C++ type
/// crosses. Every function that can fail returns 0 on success, else writes a message of at most `size` bytes
/// and returns 1.

extern "C" {

/// A Graph, by pointers that stay valid during the call. With a neighbour list, neither `neighbours` nor
/// `vectors` are read, and the pairs of the list only when its number is another one than in the last call.
struct FramesGraphView {
  std::int32_t atoms, locals, centres;
  const std::int32_t* species;     // [atoms]
  const std::int64_t* offsets;     // [centres + 1]
  const std::int32_t* neighbours;  // [offsets[centres]]
  const double* vectors;           // [3 offsets[centres]] Å

  std::int64_t list;                    // number of the NeighbourList, 0 for none
  std::int64_t pairs;                   // of the list
  std::int32_t list_atoms;              // of the engine
  const std::int32_t* pair_centres;     // [pairs] atom
  const std::int32_t* pair_neighbours;  // [pairs] atom
  const std::int32_t* edge_pairs;       // [offsets[centres]] pair
  const std::int32_t* list_nodes;       // [list_atoms] node
  const double* positions;              // [3 list_atoms] Å
};

struct FramesModelView {
  const char* path;
  const std::int32_t* elements;  // [element_count] atomic number of each species
  std::int32_t element_count;
  std::int32_t double_precision;  // 1 if the model computes in float64, else float32
};

struct FramesTorchModel;

/// Version of these functions; raised when one of them changes.
enum { frames_torchscript_abi_version = 2 };

struct FramesTorchApi {
  std::int32_t abi_version;
  const char*
      torch_version;  // that the library was built for, as torch.__version__ without the part after '+'

  /// @param device "cpu" or "cuda"; @param device_index GPU, taken modulo the number of GPUs
  int (*open)(const FramesModelView* model, const char* device, std::int32_t device_index,
              std::int32_t threads, FramesTorchModel** result, char* message, std::size_t size);
  void (*close)(FramesTorchModel* model);
  /// @param atom_energies [locals] eV; @param edge_gradients [3 edges] eV/Å
  int (*evaluate)(FramesTorchModel* model, const FramesGraphView* graph, double* atom_energies,
                  double* edge_gradients, char* message, std::size_t size);
  /// "cpu" or "cuda:0 (name of the GPU)".
  const char* (*device_name)(const FramesTorchModel* model);
};

/// The one exported symbol, `frames_torchscript`, has this type.
using FramesTorchEntry = const FramesTorchApi* (*)();
}
