// Reads jobs as JSON from standard input and writes results as JSON to standard
// output. Run with node -e, so argument 1 is the folder of the onnxruntime-node package.
//
// job:    {model, level, inputs: [{name, dims, data}], optimized}
// result: {outputs: {name: {dims, data}}} or {error}
// data are little-endian float32, base64.
'use strict';
const fs = require('fs');
const ort = require(process.argv[1]);

async function run(job) {
  const session = await ort.InferenceSession.create(job.model, {
    graphOptimizationLevel: job.level,
    ...(job.optimized ? { optimizedModelFilePath: job.optimized } : {}),
    logSeverityLevel: 4,
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    // Level 1 keeps activations of 4-bit products in float32.
    extra: { session: { qdq_matmulnbits_accuracy_level: '1' } },
  });
  try {
    const feeds = {};
    for (const i of job.inputs) {
      const b = Buffer.from(i.data, 'base64');
      const data = new Float32Array(b.buffer.slice(b.byteOffset, b.byteOffset + b.length));
      feeds[i.name] = new ort.Tensor('float32', data, i.dims);
    }
    const outputs = {};
    for (const [name, t] of Object.entries(await session.run(feeds))) {
      const data = Buffer.from(t.data.buffer, t.data.byteOffset, t.data.byteLength);
      outputs[name] = { dims: t.dims, data: data.toString('base64') };
    }
    return { outputs };
  } finally {
    await session.release();
  }
}

(async () => {
  const results = [];
  for (const job of JSON.parse(fs.readFileSync(0))) {
    try {
      results.push(await run(job));
    } catch (e) {
      results.push({ error: String(e.message || e) });
    }
  }
  process.stdout.write(JSON.stringify(results));
})();
