#include "core/archive.h"

#include <algorithm>
#include <fstream>

#include "core/crc32.h"
#include "core/error.h"

namespace frames {

namespace {

constexpr std::uint32_t entry_signature = 0x04034b50;
constexpr std::uint32_t directory_signature = 0x02014b50;
constexpr std::uint32_t end_signature = 0x06054b50;
constexpr std::uint32_t zip64_end_signature = 0x06064b50;
constexpr std::uint32_t zip64_locator_signature = 0x07064b50;
constexpr std::uint64_t entry_header_size = 30;
constexpr std::uint64_t directory_header_size = 46;
constexpr std::uint64_t end_size = 22;
constexpr std::uint64_t zip64_end_size = 56;
constexpr std::uint64_t zip64_locator_size = 20;
constexpr std::uint64_t longest_comment = 65535;
constexpr std::uint64_t largest_directory = 64u << 20;
constexpr std::uint16_t zip64_extra = 1;
constexpr std::uint32_t see_zip64 = 0xFFFFFFFF;

/// Little-endian fields of a byte range; the caller has checked that the range is long enough.
std::uint16_t u16(const std::uint8_t* p) {
  return static_cast<std::uint16_t>(p[0] | p[1] << 8);
}
std::uint32_t u32(const std::uint8_t* p) {
  return u16(p) | static_cast<std::uint32_t>(u16(p + 2)) << 16;
}
std::uint64_t u64(const std::uint8_t* p) {
  return u32(p) | static_cast<std::uint64_t>(u32(p + 4)) << 32;
}

std::unique_ptr<std::istream> open_file(const std::string& path) {
  auto file = std::make_unique<std::ifstream>(path, std::ios::binary);
  if (!*file) {
    throw Error(
        path +
        ": no such model file (or it cannot be read); `frames export CHECKPOINT -o FILE.pt` writes one");
  }
  return file;
}

/// Replaces the sizes and the offset that a directory entry leaves to its zip64 field, in the order that the
/// format prescribes. Returns false if the field is missing or too short.
bool apply_zip64(const std::uint8_t* extra, std::size_t extra_size, std::uint64_t& size,
                 std::uint64_t& stored_size, std::uint64_t& offset) {
  if (size != see_zip64 && stored_size != see_zip64 && offset != see_zip64) return true;
  for (std::size_t at = 0; at + 4 <= extra_size;) {
    const std::uint16_t id = u16(extra + at);
    const std::size_t field_end = at + 4 + u16(extra + at + 2);
    if (field_end > extra_size) return false;
    if (id == zip64_extra) {
      std::size_t value = at + 4;
      for (std::uint64_t* field : {&size, &stored_size, &offset}) {
        if (*field != see_zip64) continue;
        if (value + 8 > field_end) return false;
        *field = u64(extra + value);
        value += 8;
      }
      return true;
    }
    at = field_end;
  }
  return false;
}

}  // namespace

Archive::Archive(const std::string& path) : Archive(open_file(path), path) {}

Archive::Archive(std::unique_ptr<std::istream> stream, std::string name)
    : stream_(std::move(stream)), name_(std::move(name)) {
  stream_->seekg(0, std::ios::end);
  const std::streamoff length = stream_->tellg();
  if (length < 0 || !*stream_) fail("it cannot be read");
  length_ = static_cast<std::uint64_t>(length);
  read_directory(find_directory());
}

void Archive::fail(const std::string& what) const {
  throw Error(
      name_ + ": not a readable model file (" + what +
      "); expected an archive written by `frames export`: was the file truncated, altered or written by "
      "another program?");
}

std::vector<std::uint8_t> Archive::bytes(std::uint64_t offset, std::uint64_t size) {
  if (offset > length_ || size > length_ - offset) fail("it ends too early");
  std::vector<std::uint8_t> data(static_cast<std::size_t>(size));
  stream_->clear();
  stream_->seekg(static_cast<std::streamoff>(offset));
  stream_->read(reinterpret_cast<char*>(data.data()), static_cast<std::streamsize>(size));
  if (!*stream_ || stream_->gcount() != static_cast<std::streamsize>(size)) fail("it cannot be read");
  return data;
}

Archive::Directory Archive::find_directory() {
  const std::uint64_t window = std::min(length_, end_size + longest_comment);
  if (window < end_size) fail("no zip archive");
  const std::uint64_t start = length_ - window;
  const std::vector<std::uint8_t> tail = bytes(start, window);
  for (std::uint64_t at = window - end_size + 1; at-- > 0;) {
    const std::uint8_t* record = tail.data() + at;
    if (u32(record) != end_signature || at + end_size + u16(record + 20) != window) continue;
    Directory directory{u32(record + 16), u32(record + 12), u16(record + 10)};
    read_zip64_end(start + at, directory);
    return directory;
  }
  fail("no zip archive, or its end is missing");
}

void Archive::read_zip64_end(std::uint64_t end_record, Directory& directory) {
  if (end_record < zip64_locator_size) return;
  const std::vector<std::uint8_t> locator = bytes(end_record - zip64_locator_size, zip64_locator_size);
  if (u32(locator.data()) != zip64_locator_signature) return;
  const std::vector<std::uint8_t> record = bytes(u64(locator.data() + 8), zip64_end_size);
  if (u32(record.data()) != zip64_end_signature) fail("its zip64 record is damaged");
  directory = {u64(record.data() + 48), u64(record.data() + 40), u64(record.data() + 32)};
}

void Archive::read_directory(const Directory& directory) {
  if (directory.size > largest_directory || directory.entries > directory.size / directory_header_size) {
    fail("its directory is damaged");
  }
  const std::vector<std::uint8_t> data = bytes(directory.offset, directory.size);
  std::size_t at = 0;
  for (std::uint64_t k = 0; k < directory.entries; ++k) {
    if (data.size() - at < directory_header_size || u32(data.data() + at) != directory_signature) {
      fail("its directory is damaged");
    }
    const std::uint8_t* header = data.data() + at;
    const std::size_t name_size = u16(header + 28), extra_size = u16(header + 30),
                      comment_size = u16(header + 32);
    if (data.size() - at < directory_header_size + name_size + extra_size + comment_size) {
      fail("its directory is damaged");
    }
    Entry entry;
    entry.flags = u16(header + 8);
    entry.method = u16(header + 10);
    entry.crc = u32(header + 16);
    entry.stored_size = u32(header + 20);
    entry.size = u32(header + 24);
    entry.header_offset = u32(header + 42);
    const std::uint8_t* name = header + directory_header_size;
    entry.name.assign(name, name + name_size);
    if (!apply_zip64(name + name_size, extra_size, entry.size, entry.stored_size, entry.header_offset)) {
      fail("its directory is damaged");
    }
    entries_.push_back(std::move(entry));
    at += directory_header_size + name_size + extra_size + comment_size;
  }
}

std::vector<std::uint8_t> Archive::read_extra(std::string_view name, std::uint64_t largest) {
  const std::string ending = "/extra/" + std::string(name);
  const auto ends_so = [&](const Entry& entry) {
    return entry.name.size() > ending.size() &&
           entry.name.compare(entry.name.size() - ending.size(), ending.size(), ending) == 0;
  };
  const auto entry = std::find_if(entries_.begin(), entries_.end(), ends_so);
  if (entry == entries_.end()) fail("it holds no " + std::string(name));
  if (entry->method != 0 || (entry->flags & 1) != 0 || entry->size != entry->stored_size) {
    fail(std::string(name) + " is compressed or encrypted");
  }
  if (entry->size > largest) {
    fail(std::string(name) + " claims " + std::to_string(entry->size) + " bytes, at most " +
         std::to_string(largest) + " are expected");
  }
  const std::vector<std::uint8_t> header = bytes(entry->header_offset, entry_header_size);
  if (u32(header.data()) != entry_signature) fail(std::string(name) + " is damaged");
  const std::uint64_t skipped = entry_header_size + u16(header.data() + 26) + u16(header.data() + 28);
  std::vector<std::uint8_t> data = bytes(entry->header_offset + skipped, entry->size);
  if (crc32(data.data(), data.size()) != entry->crc) fail(std::string(name) + " does not match its checksum");
  return data;
}

}  // namespace frames
