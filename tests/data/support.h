// Small makers that the tests of this room share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <string>

#include "micromind/base/error.h"
#include "micromind/base/file.h"
#include "micromind/data/dataset.h"
#include "micromind/data/loader.h"
#include "error_of.h"

namespace micromind {

inline Bytes gzip(const Bytes& content) {
  z_stream stream{};
  deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  Bytes out(deflateBound(&stream, content.size()) + 64);
  stream.next_in = const_cast<std::uint8_t*>(content.data());
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

/// An IDX file of bytes: `shape`, then pixel i = i mod `modulus`.
inline Bytes idx_bytes(const std::vector<std::uint32_t>& shape, unsigned modulus) {
  Bytes bytes = {0, 0, 8, static_cast<std::uint8_t>(shape.size())};
  std::size_t count = 1;
  for (const std::uint32_t n : shape) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(n >> shift));
    count *= n;
  }
  for (std::size_t i = 0; i < count; ++i) bytes.push_back(static_cast<std::uint8_t>(i % modulus));
  return bytes;
}

/// A sound MNIST folder of `train` and `test` images; the train files are gzipped, the test files plain.
inline void write_small_mnist(const std::filesystem::path& folder, std::uint32_t train, std::uint32_t test) {
  write_atomic(folder / "train-images-idx3-ubyte.gz", gzip(idx_bytes({train, 28, 28}, 251)));
  write_atomic(folder / "train-labels-idx1-ubyte.gz", gzip(idx_bytes({train}, 10)));
  write_atomic(folder / "t10k-images-idx3-ubyte", idx_bytes({test, 28, 28}, 251));
  write_atomic(folder / "t10k-labels-idx1-ubyte", idx_bytes({test}, 10));
}

inline Image flat_image(int channels, int height, int width, std::uint8_t value) {
  Image image(channels, height, width);
  std::fill(image.pixels.begin(), image.pixels.end(), value);
  return image;
}

inline std::vector<Batch> epoch_of(Loader& loader, int epoch, std::int64_t first = 0) {
  std::vector<Batch> all;
  Batch batch;
  loader.start_epoch(epoch, first);
  while (loader.next(batch)) all.push_back(batch);
  EXPECT_FALSE(loader.next(batch));
  return all;
}

inline void expect_same(std::span<const Batch> a, std::span<const Batch> b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].images, b[i].images) << "batch " << i;
    EXPECT_EQ(a[i].labels, b[i].labels);
    EXPECT_EQ(a[i].other_labels, b[i].other_labels);
    EXPECT_EQ(a[i].weights, b[i].weights);
    EXPECT_EQ(a[i].indices, b[i].indices);
    EXPECT_EQ(a[i].index_in_epoch, b[i].index_in_epoch);
  }
}

}  // namespace micromind
