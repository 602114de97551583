#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"

namespace frames {

/// Contents of `frames.json`, checked. Lengths in Å, energies in eV.
struct Metadata {
  enum class Dtype { float32, float64 };

  std::string file;                      ///< path of the model file, for messages
  std::string backbone;                  ///< "cartesian", "equiformer", ...
  Json backbone_settings;                ///< object; meaning belongs to the backbone
  std::vector<int> elements;             ///< distinct atomic numbers; the index in this list is the species
  double cutoff = 0.0;                   ///< Å
  int receptive_layers = 0;              ///< the energy of an atom depends on atoms within this many cutoffs
  Dtype dtype = Dtype::float32;          ///< arithmetic of the model
  std::vector<double> energy_reference;  ///< [elements] eV
  double energy_scale = 1.0;
  /// [elements x elements] Å, no pair of these species was closer in training; 0 where the file does not say.
  std::vector<double> shortest_distances;
  std::string torch_version;
  std::string revision;
  std::string weights_sha256;

  /// Species of an atomic number, or -1 if the model does not know it.
  int species_of(int atomic_number) const;

  double shortest_distance(int species, int other) const {
    return shortest_distances[static_cast<std::size_t>(species) * elements.size() +
                              static_cast<std::size_t>(other)];
  }

  /// The elements' symbols, separated by spaces, for messages.
  std::string element_symbols() const;
};

constexpr int format_version = 1;

/// Reads the text of `frames.json`. Throws Error that names `file`, what was found, what was expected, what
/// to do.
Metadata parse_metadata(std::string_view text, const std::string& file);

}  // namespace frames
