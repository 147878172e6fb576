package observers
import ("testing";"math/rand";"time";"github.com/goqat/goqat/fakequant")
func TestZZ(t *testing.T){
 r:=rand.New(rand.NewSource(1)); n:=1<<20
 x:=make([]float32,n); for i:=range x {x[i]=float32(r.NormFloat64())}
 for _,bits:=range []int{8,4,2} {
 for _,sh:=range []fakequant.Spec{{Bits:bits,NarrowRange:true},{Bits:bits,Granularity:fakequant.PerChannel},{Bits:bits,Granularity:fakequant.PerChannel,Axis:1},{Bits:bits,Granularity:fakequant.PerBlock,Axis:1,BlockSize:32},{Bits:bits,Scheme:fakequant.Affine,Granularity:fakequant.PerChannel}} {
  l,_:=sh.Layout([]int{1024,1024})
  o:=&LatestMSE{Spec:sh}
  t0:=time.Now(); if err:=o.Observe(x,l);err!=nil{t.Fatal(err)}
  lo,hi,_:=o.Range()
  t.Log(sh, time.Since(t0), lo[0],hi[0])
 }
 for _,k:=range []string{"histogram","percentile","mse","kl"} {
  for _,sc:=range []fakequant.Scheme{0,1} {
  o:=mustNew(t,k)
  if s,ok:=o.(SpecSetter);ok{s.SetSpec(fakequant.Spec{Bits:bits,Scheme:sc},false)}
  t0:=time.Now(); mustObserve(t,o,x); t1:=time.Since(t0); lo,hi,_:=o.Range(); t.Log(k,bits,sc,t1,time.Since(t0)-t1,lo,hi)
 }}}
}
