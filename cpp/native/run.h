#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "native/kernels.h"
#include "native/moments.h"
#include "native/profile.h"

namespace frames::native {

/// Atoms whose messages are summed for one block of channels after the other: many, so that what they need of
/// their neighbours for one block of channels is fetched once and stays in cache.
constexpr int message_block = 256;

/// One thread's part of an evaluation.
template <class T>
struct Run {
  using Clock = std::chrono::steady_clock;

  const Parameters<T>& parameters;
  const Kernels<T>& kernels;
  const Arrays<T>& arrays;
  Scratch<T> scratch;
  std::vector<std::int32_t>& seen;  // [nodes] the last message block that had it as a neighbour
  int begin, end;
  const Moments<T>* moments;  // null unless wanted
  Profile* profile;           // null unless measuring
  Clock::time_point before{};

  void start() {
    if (profile) before = Clock::now();
  }
  void count(Profile::Step step) {
    if (!profile) return;
    const auto now = Clock::now();
    profile->seconds[step] += std::chrono::duration<double>(now - before).count();
    before = now;
  }
  void call(Profile::Step step, typename Kernels<T>::Step kernel, int first, int last) {
    kernel(parameters, arrays, scratch, first, last);
    count(step);
  }
  void call(Profile::Step step, typename Kernels<T>::LayerStep kernel, int layer, int first, int last) {
    kernel(parameters, arrays, scratch, layer, first, last);
    count(step);
  }

  /// Calls f(first, last) for blocks of at most `size` atoms, all nearly equal.
  template <class F>
  static void for_blocks(int begin, int end, int size, const F& f) {
    const int atoms = end - begin, blocks = (atoms + size - 1) / size;
    for (int b = 0; b < blocks; ++b) {
      f(begin + static_cast<int>(static_cast<std::int64_t>(atoms) * b / blocks),
        begin + static_cast<int>(static_cast<std::int64_t>(atoms) * (b + 1) / blocks));
    }
  }

  void embed() {
    for_blocks(begin, end, atom_block, [&](int first, int last) {
      call(Profile::geometry, kernels.geometry, first, last);
      if (moments) clear_edges(first, last);
      call(Profile::embed_edges, kernels.embed_edges, first, last);
      expect(last, end, {arrays.embedded, arrays.features, arrays.layers[0].mixed});
      call(Profile::embed_nodes, kernels.embed_nodes, first, last);
      call(Profile::mix, kernels.mix, 0, first, last);
    });
  }

  /// An interaction and the start of the next one; after the last, the readout and the start of the way back.
  void forward(int layer) {
    for_blocks(begin, end, message_block, [&](int first_message, int last_message) {
      if (arrays.fresh && layer == 0) find_fresh(first_message, last_message);
      call(Profile::messages, kernels.messages, layer, first_message, last_message);
      for_blocks(first_message, last_message, atom_block, [&](int first, int last) {
        const LayerArrays<T>& at = arrays.layers[layer];
        T* const result = layer + 1 < parameters.layers ? arrays.layers[layer + 1].mixed : arrays.gradient;
        expect(last, last_message, {at.messages, at.mixed, arrays.features, at.update, result});
        call(Profile::update, kernels.update, layer, first, last);
        if (layer + 1 < parameters.layers) {
          call(Profile::mix, kernels.mix, layer + 1, first, last);
        } else {
          call(Profile::readout, kernels.readout, first, last);
          if (moments) clear_nodes(first, last);
          call(Profile::update_backward, kernels.update_backward, layer, first, last);
        }
      });
    });
  }

  void backward(int layer) {
    for_blocks(begin, end, message_block, [&](int first_message, int last_message) {
      call(Profile::messages_backward, kernels.messages_backward, layer, first_message, last_message);
      if (moments) moments_of_messages(layer, first_message, last_message);
      for_blocks(first_message, last_message, atom_block, [&](int first, int last) {
        if (moments) moments_of_nodes(layer, first, last);  // before they are overwritten
        if (layer > 0) {
          const LayerArrays<T>& to = arrays.layers[layer - 1];
          expect(last, last_message,
                 {arrays.layers[layer].update, arrays.features, arrays.gradient, to.update, to.mixed,
                  to.messages});
        } else {
          expect(last, last_message,
                 {arrays.layers[0].update, arrays.features, arrays.gradient, arrays.embedded});
        }
        call(Profile::mix_backward, kernels.mix_backward, layer, first, last);
        if (layer > 0) {
          call(Profile::update_backward, kernels.update_backward, layer - 1, first, last);
        } else {
          call(Profile::embed_nodes_backward, kernels.embed_nodes_backward, first, last);
          call(Profile::embed_edges_backward, kernels.embed_edges_backward, first, last);
        }
      });
    });
  }

  /// Has the kernels fetch these arrays' rows of the block of atoms that begins at `first`, in this order.
  void expect(int first, int limit, std::initializer_list<const T*> features) {
    Upcoming<T>& upcoming = *scratch.upcoming;
    upcoming.pieces = 0;
    const std::ptrdiff_t atoms = std::min(first + atom_block, limit) - first;
    if (!arrays.fresh || atoms <= 0) return;
    const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(first) * components * parameters.channels;
    upcoming.pieces = static_cast<int>(features.size());
    typename Upcoming<T>::Piece* piece = upcoming.piece + upcoming.pieces;
    for (const T* array : features) *--piece = {array + start, atoms * (parameters.channels / block)};
  }

  /// Of each atom's neighbours those that no atom before it in the block has, so that each row is fetched
  /// once.
  void find_fresh(int first, int last) {
    for (int i = first; i < last; ++i) {
      std::int32_t* const fresh = arrays.fresh + arrays.offsets[i];
      int count = 0;
      for (std::int64_t e = arrays.offsets[i]; e < arrays.offsets[i + 1]; ++e) {
        const std::int32_t j = arrays.neighbours[e];
        fresh[count] = j;
        count += seen[j] != first;
        seen[j] = first;
      }
      arrays.fresh_counts[i] = count;
    }
  }

  /// The moments have no share in the last features.
  void clear_nodes(int first, int last) {
    const std::size_t width = static_cast<std::size_t>(components) * parameters.channels;
    const std::size_t start = width * first, bytes = width * (last - first) * sizeof(T);
    for (const Arrays<T>& a : moments->along) {
      std::memset(a.gradient + start, 0, bytes);
      std::memset(a.layers[parameters.layers - 1].update + start, 0, bytes);
    }
  }

  void clear_edges(int first, int last) {
    for (const Arrays<T>& a : moments->along) {
      std::fill(a.slopes + a.offsets[first], a.slopes + a.offsets[last], 0.0);
    }
  }

  void moments_of_messages(int layer, int first, int last) {
    kernels.moments_backward(parameters, arrays, moments->along, layer, first, last);
    count(Profile::messages_backward);
    if (layer + 1 == parameters.layers) return;  // their dE/dM is zero
    for (const Arrays<T>& a : moments->along) {
      kernels.messages_backward(parameters, a, scratch, layer, first, last);
      count(Profile::messages_backward);
    }
  }

  /// The nodes' part of `backward`, on copies of what it overwrites.
  void moments_of_nodes(int layer, int first, int last) {
    const std::size_t width = static_cast<std::size_t>(components) * parameters.channels;
    const std::size_t start = width * first, size = width * (last - first);
    for (Arrays<T> a : moments->along) {
      kernels.mix_backward(parameters, a, scratch, layer, first, last);
      count(Profile::mix_backward);
      if (layer > 0) {
        const LayerArrays<T>&from = arrays.layers[layer - 1], &to = a.layers[layer - 1];
        std::copy_n(from.messages + start, size, to.messages + start);
        std::copy_n(from.update + start, size, to.update + start);
        std::copy_n(arrays.features + start, size, moments->previous + start);
        a.features = moments->previous;
        kernels.update_backward(parameters, a, scratch, layer - 1, first, last);
        count(Profile::update_backward);
      } else {
        kernels.embed_nodes_backward(parameters, a, scratch, first, last);
        count(Profile::embed_nodes_backward);
        kernels.embed_edges_backward(parameters, a, scratch, first, last);
        count(Profile::embed_edges_backward);
      }
    }
  }

  /// `meet` waits for the other threads and exchanges the rows of ghosts of an array of features.
  template <class Meet>
  void evaluate(const Meet& meet) {
    start();
    if (arrays.fresh) seen.assign(arrays.nodes, -1);
    embed();
    meet(arrays.layers[0].mixed);
    count(Profile::waiting);
    for (int l = 0; l < parameters.layers; ++l) {
      forward(l);
      meet(l + 1 < parameters.layers ? arrays.layers[l + 1].mixed : arrays.layers[l].messages);
      count(Profile::waiting);
    }
    for (int l = parameters.layers - 1; l >= 0; --l) {
      backward(l);
      if (l == 0) break;
      meet(arrays.layers[l - 1].messages);
      if (moments) {
        for (const Arrays<T>& a : moments->along) meet(a.layers[l - 1].messages);
      }
      count(Profile::waiting);
    }
  }
};

}  // namespace frames::native
