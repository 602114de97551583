#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace frames {

/// Base64 (RFC 4648, section 4) with padding and without line breaks.
std::string to_base64(const std::vector<std::uint8_t>& bytes);

/// Throws Error if the text is not what `to_base64` writes.
std::vector<std::uint8_t> from_base64(const std::string& text);

}  // namespace frames
