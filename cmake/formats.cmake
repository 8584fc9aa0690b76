# .onnx through Debian's libonnx, .tflite through FlatBuffers.
