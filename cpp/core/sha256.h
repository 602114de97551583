#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace frames {

/// SHA-256 (FIPS 180-4) of `size` bytes, as 64 hexadecimal digits.
std::string sha256(const std::uint8_t* data, std::size_t size);

}  // namespace frames
