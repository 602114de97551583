#include <cstring>

#include "check.h"
#include "core/safetensors.h"

namespace {

frames::Safetensors read(const std::string& header, const std::string& data) {
  std::string text(8, '\0');
  for (std::size_t k = 0; k < 8; ++k) text[k] = static_cast<char>(header.size() >> (8 * k));
  text += header + data;
  return {std::vector<std::uint8_t>(text.begin(), text.end()), "weights"};
}

template <typename T>
std::string bytes_of(std::initializer_list<T> values) {
  std::string out;
  for (const T value : values) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    out.append(raw, sizeof(T));
  }
  return out;
}

}  // namespace

TEST(safetensors_reads_tensors) {
  const frames::Safetensors tensors =
      read(R"({"__metadata__": {"x": "y"}, "a": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]},
              "n": {"dtype": "I64", "shape": [1], "data_offsets": [8, 16]},
              "e": {"dtype": "F64", "shape": [0, 3], "data_offsets": [16, 16]},
              "b": {"dtype": "U8", "shape": [3], "data_offsets": [16, 19]}})",
           bytes_of<float>({1.5f, -2.0f}) + bytes_of<std::int64_t>({-7}) + std::string("\x01\x00\x01", 3));
  CHECK((tensors.doubles("a", {2, 1}) == std::vector<double>{1.5, -2.0}));
  CHECK((tensors.floats("a", {-1, 1}) == std::vector<float>{1.5f, -2.0f}));
  CHECK(tensors.integers("n", {1})[0] == -7);
  CHECK(tensors.doubles("e", {0, 3}).empty());
  CHECK((tensors.integers("b", {3}) == std::vector<std::int64_t>{1, 0, 1}));
  CHECK(!tensors.contains("__metadata__"));
  CHECK_ERROR(tensors.doubles("z", {1}), "z is missing");
  CHECK_ERROR(tensors.doubles("a", {2}), "a has shape [2, 1], expected [2]");
  CHECK_ERROR(tensors.doubles("n", {1}), "has dtype I64");
  CHECK_ERROR(tensors.integers("a", {2, 1}), "has dtype F32");
}

TEST(safetensors_refuses_damage) {
  const std::string data = bytes_of<float>({1.0f, 2.0f});
  const auto tensor = [&](const std::string& fields) { return read("{\"a\": {" + fields + "}}", data); };
  CHECK_ERROR(frames::Safetensors({1, 2, 3}, "weights"), "too short");
  CHECK_ERROR(frames::Safetensors(std::vector<std::uint8_t>(8, 255), "weights"), "header is longer");
  CHECK_ERROR(read("[]", ""), "expected an object");
  CHECK_ERROR(read("{", ""), "not valid JSON");
  CHECK_ERROR(tensor(R"("dtype": "F31", "shape": [2], "data_offsets": [0, 8])"), "unknown dtype");
  CHECK_ERROR(tensor(R"("dtype": "F32", "shape": [2], "data_offsets": [0, 9])"), "outside");
  CHECK_ERROR(tensor(R"("dtype": "F32", "shape": [2], "data_offsets": [4, 0])"), "outside");
  CHECK_ERROR(tensor(R"("dtype": "F32", "shape": [2], "data_offsets": [-1, 8])"), "outside");
  CHECK_ERROR(tensor(R"("dtype": "F32", "shape": [2], "data_offsets": [0])"), "two data_offsets");
  CHECK_ERROR(tensor(R"("dtype": "F32", "shape": [3], "data_offsets": [0, 8])"), "does not match");
  CHECK_ERROR(tensor(R"("dtype": "F32", "shape": [-2], "data_offsets": [0, 8])"), "negative");
  CHECK_ERROR(tensor(R"("dtype": "F32", "shape": [4611686018427387904, 4, 2], "data_offsets": [0, 8])"),
              "whole number");
  CHECK_ERROR(
      tensor(R"("dtype": "F32", "shape": [4503599627370496, 4503599627370496], "data_offsets": [0, 8])"),
      "too large");
  CHECK_ERROR(read(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                       "b": {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]}})",
                   data),
              "overlap");
}
