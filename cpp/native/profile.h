#pragma once

#include <array>

namespace frames::native {

/// Seconds of one thread in the steps of an evaluation (see Kernels), and waiting for threads and exchanges.
struct Profile {
  enum Step {
    geometry,
    embed_edges,
    embed_nodes,
    mix,
    messages,
    update,
    readout,
    update_backward,
    messages_backward,
    mix_backward,
    embed_nodes_backward,
    embed_edges_backward,
    waiting,
    steps
  };
  static constexpr std::array<const char*, steps> names = {"geometry",
                                                           "embed_edges",
                                                           "embed_nodes",
                                                           "mix",
                                                           "messages",
                                                           "update",
                                                           "readout",
                                                           "update_backward",
                                                           "messages_backward",
                                                           "mix_backward",
                                                           "embed_nodes_backward",
                                                           "embed_edges_backward",
                                                           "waiting"};
  std::array<double, steps> seconds{};
};

}  // namespace frames::native
