// Mutates a model file and reads it: every outcome but success or frames::Error is a bug.
//
//     fuzz_model_file MODEL.pt [MUTATIONS] [SEED]
//
// Half of the mutations are of the archive's bytes. The checksums of the archive stop most of those at the
// door, so the other half are of single entries, packed into a valid archive again.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <sstream>

#include "core/error.h"
#include "core/metadata.h"
#include "core/model_file.h"
#include "core/structure.h"
#include "zip_writer.h"

namespace {

using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t limit) {
  return limit == 0 ? 0 : random() % limit;
}

/// One to eight changes of the kinds that break parsers: flipped bits, extreme bytes, extreme numbers,
/// missing, repeated and moved pieces.
std::string mutated(std::string data, Random& random) {
  static const char* const pieces[] = {"-1",
                                       "18446744073709551615",
                                       "9007199254740992",
                                       "1e308",
                                       "null",
                                       "[]",
                                       "{}",
                                       "\"",
                                       "[[[[[[[[[[[[",
                                       "\\u",
                                       "0",
                                       "1e-9",
                                       "NaN"};
  for (std::size_t change = 0, changes = 1 + below(random, 8); change < changes && !data.empty(); ++change) {
    const std::size_t at = below(random, data.size()), length = 1 + below(random, 64);
    switch (below(random, 8)) {
      case 0:
        data[at] = static_cast<char>(data[at] ^ (1 << below(random, 8)));
        break;
      case 1:
        data[at] = static_cast<char>(random());
        break;
      case 2:
        for (std::size_t k = at; k < data.size() && k < at + 8; ++k) data[k] = static_cast<char>(0xFF);
        break;
      case 3:
        for (std::size_t k = at; k < data.size() && k < at + 4; ++k) data[k] = 0;
        break;
      case 4:
        data.erase(at, length);
        break;
      case 5:
        data.insert(at, data.substr(below(random, data.size()), length));
        break;
      case 6:
        data.replace(at, below(random, 8), pieces[below(random, std::size(pieces))]);
        break;
      default:
        if (below(random, 8) == 0) data.resize(at);
    }
  }
  return data;
}

/// Everything that a program does with a file before it evaluates the model.
void read(const std::string& bytes) {
  frames::ModelFile file(frames::Archive(std::make_unique<std::istringstream>(bytes), "fuzz.pt"));
  const frames::TestFrame frame = file.test_frame();
  std::vector<std::int32_t> species;
  for (const int z : frame.atomic_numbers) species.push_back(file.metadata().species_of(z));
  frames::Graph graph;
  frames::build_graph(species, frame.positions, frame.cell, frame.periodic, file.metadata().cutoff, graph);
  const frames::Safetensors weights = file.weights();
  for (const auto& [name, tensor] : weights.tensors()) {
    if (tensor.dtype == "F32" || tensor.dtype == "F64") (void)weights.doubles(name, tensor.shape);
  }
}

/// Accepts a mutation of the weights as what the metadata claims, so that their reader is reached, too.
void read_tensors(const std::string& bytes) {
  const frames::Safetensors tensors({bytes.begin(), bytes.end()}, "fuzz");
  for (const auto& [name, tensor] : tensors.tensors()) {
    if (tensor.dtype == "F32" || tensor.dtype == "F64") (void)tensors.floats(name, tensor.shape);
    if (tensor.dtype == "I64" || tensor.dtype == "U8") (void)tensors.integers(name, tensor.shape);
  }
}

std::string entry(const std::string& path, const char* name) {
  const std::vector<std::uint8_t> data = frames::Archive(path).read_extra(name, 1ull << 32);
  return {data.begin(), data.end()};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: fuzz_model_file MODEL.pt [MUTATIONS] [SEED]\n");
    return 2;
  }
  const long mutations = argc > 2 ? std::atol(argv[2]) : 100000;
  Random random(argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1);
  std::ifstream file(argv[1], std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::string metadata = entry(argv[1], "frames.json"), weights = entry(argv[1], "weights.safetensors"),
                    frame = entry(argv[1], "test_frame.safetensors");
  read(whole);  // the file itself must be fine

  long refused = 0;
  for (long k = 0; k < mutations; ++k) {
    try {
      const bool change_metadata = random() % 2 == 0;
      if (k % 2 == 0) {
        read(mutated(whole, random));
      } else if (k % 8 == 1) {
        read_tensors(mutated(k % 16 == 1 ? weights : frame, random));
      } else {
        read(write_zip({{"m/extra/frames.json", change_metadata ? mutated(metadata, random) : metadata},
                        {"m/extra/weights.safetensors", weights},
                        {"m/extra/test_frame.safetensors", change_metadata ? frame : mutated(frame, random)}},
                       k % 4 == 1));
      }
    } catch (const frames::Error&) {
      ++refused;
    }
  }
  std::printf("%ld mutated files, %ld refused with a message, the others were read\n", mutations, refused);
  return 0;
}
