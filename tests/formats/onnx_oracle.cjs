// node onnx_oracle.cjs FOLDER float32|int8 NAME SHAPE…: runs model.onnx with ONNX Runtime (npm's onnxruntime-node, found through
// NODE_PATH) on input.bin and writes OUTPUT.onnx.bin for every output. Optimisations are off: the file's own semantics.
const fs = require('fs');
const ort = require('onnxruntime-node');
const [folder, type, name, ...shape] = process.argv.slice(2);
(async () => {
  const session = await ort.InferenceSession.create(`${folder}/model.onnx`, {graphOptimizationLevel: 'disabled'});
  const raw = fs.readFileSync(`${folder}/input.bin`);
  const bytes = raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length);
  const data = type === 'int8' ? new Int8Array(bytes) : new Float32Array(bytes);
  const results = await session.run({[name]: new ort.Tensor(type, data, [1, ...shape.map(Number)])});
  for (const output of session.outputNames) {
    const d = results[output].data;
    fs.writeFileSync(`${folder}/${output}.onnx.bin`, Buffer.from(d.buffer, d.byteOffset, d.byteLength));
  }
})().catch(e => { console.error(e.message); process.exit(1); });
